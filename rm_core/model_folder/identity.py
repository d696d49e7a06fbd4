"""Which weights a folder holds: the same for every copy of them, another for other weights."""

import hashlib
import json

from data_pipeline.storage import exists, join, list_files, name_of, open_input, read_bytes, read_each, size_of
from rm_core.model_folder.fixture import FIXTURE
from rm_core.model_folder.remote import MARKER, read_marker

__all__ = ["weights_identity"]

_SAMPLE_BYTES = 1 << 20
_WEIGHTS = (".safetensors", ".bin", ".index.json")
_SETTINGS = ("config.json", "reward_head.json")


def weights_identity(url: str) -> str:
    """Hex sha256 that names backbone and head of the folder at `url`, local or in an object store.

    Of a folder of ours it is taken from the checksums in its marker. A folder from a model hub has none, and hashing
    hundreds of GB would take longer than starting: of each of its files the size, the first and the last MiB count.

    Raises:
        CorruptData: the marker is damaged.
    """
    marker = join(url, MARKER)
    if exists(marker):
        listed = read_marker(read_bytes(marker), marker)["files"]
        files = {name: digest for name, digest in listed.items() if _decides(name)}
    else:
        found = [file for file in list_files(url) if _decides(name_of(file))]
        files = dict(zip(map(name_of, found), read_each(_sampled, found), strict=True))
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _decides(name: str) -> bool:
    """Whether the file decides what the model computes from its inputs."""
    return name in _SETTINGS or (name.endswith(_WEIGHTS) and name != FIXTURE)


def _sampled(url: str) -> str:
    size = size_of(url)
    with open_input(url) as file:
        first = file.read(_SAMPLE_BYTES)
        file.seek(max(len(first), size - _SAMPLE_BYTES))
        last = file.read(_SAMPLE_BYTES)
    return f"{size} {hashlib.sha256(first + last).hexdigest()}"
