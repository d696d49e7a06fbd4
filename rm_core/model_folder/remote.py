"""Model folders to and from an object store: complete or absent there too, and read through local copies."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from data_pipeline.errors import CorruptData, MissingInput
from data_pipeline.storage import (
    delete_folder,
    exists,
    from_checked_json,
    is_local,
    join,
    list_files,
    name_of,
    open_input,
    private_folder,
    read_bytes,
    sha256_of,
    upload,
)
from data_pipeline.storage.remote import identity_of
from rm_core.model.backbone import read_config

__all__ = [
    "MARKER", "backbone_settings", "draft_of", "local_adapter", "local_backbone", "local_model", "publish",
    "read_marker", "upload_files",
]  # fmt: skip

MARKER = "model.json"
"""Written last: a folder without it is no model."""
SETTINGS, ADAPTER_SETTINGS = "config.json", "adapter_config.json"
_CHUNK_BYTES = 1 << 24


def publish(draft: str, url: str, *, report: Callable[[str], None] = lambda what: None) -> None:
    """Put the finished local folder `draft` at `url`, in place of what is there; `draft` is gone afterwards.

    `report` is told of each file before it is sent.
    """
    delete_folder(url, first=MARKER)
    if is_local(url):
        os.replace(draft, url)
        return
    upload_files(draft, url, report=report)
    shutil.rmtree(draft)


def upload_files(folder: str, url: str, *, report: Callable[[str], None] = lambda what: None) -> None:
    """Put the files of the local `folder` at `url`, the marker last; `report` is told of each before it is sent."""
    for name in sorted(os.listdir(folder), key=lambda name: name == MARKER):
        report(f"sending {name}")
        upload(os.path.join(folder, name), join(url, name))


@contextmanager
def draft_of(url: str) -> Iterator[str]:
    """The local folder to write a model into: `url` itself, or one that is put there when the block ends well."""
    if is_local(url):
        yield url
        return
    with tempfile.TemporaryDirectory() as beside:
        draft = os.path.join(beside, "model")
        yield draft
        publish(draft, url)


def local_model(url: str) -> str:
    """A local folder with the model at `url`: itself, or a copy that processes of this machine and user share.

    Raises:
        MissingInput: no complete model there.
        CorruptData: a file differs from its checksum.
    """
    if not is_local(url) and not exists(join(url, MARKER)):
        raise MissingInput(f"{url!r} has no {MARKER}: there is no model, or its upload was cut off; export it again")
    return url if is_local(url) else _local(url, private_folder("models"))


def local_backbone(url: str, cache_dir: str) -> str:
    """A local folder with the backbone or the model at `url`: itself, or a copy below `cache_dir`.

    A folder in an object store may also be one that was copied there from a model hub, without a marker.

    Raises:
        MissingInput: no ``config.json`` there.
        CorruptData: a file differs from its checksum, where there is a marker.
    """
    if not exists(join(url, SETTINGS)):
        raise MissingInput(f"{url!r} holds no {SETTINGS}: name the folder of a backbone, or of an exported model")
    return _local(url, os.path.join(cache_dir, "models"))


def local_adapter(url: str, cache_dir: str) -> str:
    """A local folder with the PEFT adapter at `url`: itself, or a copy below `cache_dir`.

    Raises:
        MissingInput: no ``adapter_config.json`` there.
    """
    if not exists(join(url, ADAPTER_SETTINGS)):
        raise MissingInput(f"{url!r} holds no {ADAPTER_SETTINGS}: name the folder of a PEFT adapter")
    return _local(url, os.path.join(cache_dir, "adapters"))


def backbone_settings(url: str, cure: str) -> Any:
    """The Transformers config of the folder at `url`; its weights are not read.

    Args:
        cure: what to do where there is none, for the message.

    Raises:
        MissingInput: no ``config.json`` there.
        RecipeError: of an architecture that Transformers does not know.
    """
    if not exists(join(url, SETTINGS)):
        raise MissingInput(f"train.model={url!r} holds no {SETTINGS}: {cure}")
    if is_local(url):
        return read_config(url)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, SETTINGS).write_bytes(read_bytes(join(url, SETTINGS)))
        return read_config(folder)


def read_marker(data: bytes, url: str) -> dict[str, Any]:
    """The fields of a model's marker, which has ``files`` and ``lineage``; `url` is for messages.

    Raises:
        CorruptData: it is damaged, or no marker of a model.
    """
    try:
        first = json.loads(data)
        fields = first if first.get("format_version") == 1 else from_checked_json(data, url)
        if not isinstance(fields["files"], dict) or not isinstance(fields["lineage"], dict):
            raise TypeError("files and lineage are objects")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptData(
            f"{url!r} is damaged ({type(error).__name__}: {error}): export or copy the model again"
        ) from error
    return fields


def _local(url: str, below: str) -> str:
    """`url` itself where it is local, or the copy below the folder `below`, made by one process while others wait."""
    if is_local(url):
        return url
    copies = Path(below)
    copies.mkdir(mode=0o700, exist_ok=True, parents=True)
    identity = _identity(url)
    version = hashlib.sha256(url.encode() + identity).hexdigest()[:32]
    copy = copies / version
    with FileLock(copies / f"{version}.lock"):
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=copies, prefix=f"{version}.") as name:
                draft = Path(name, "model")
                _download(url, draft)
                os.replace(draft, copy)
        marker = copy / MARKER
        if marker.exists() and marker.read_bytes() != identity:
            raise CorruptData(f"{str(copy)!r} is not the copy of {url!r} that it should be: remove that folder")
    return str(copy)


def _identity(url: str) -> bytes:
    """What tells one model at `url` from another: its marker, which lists checksums, or the store's own marks."""
    if exists(join(url, MARKER)):
        return read_bytes(join(url, MARKER))
    return json.dumps([[name_of(file), identity_of(file)] for file in list_files(url)]).encode()


def _download(url: str, folder: Path) -> None:
    folder.mkdir()
    for file in list_files(url):
        with open_input(file) as source, open(folder / name_of(file), "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
    marker = folder / MARKER
    files = read_marker(marker.read_bytes(), join(url, MARKER))["files"] if marker.exists() else {}
    for name, expected in files.items():
        if not (folder / name).is_file() or sha256_of(str(folder / name)) != expected:
            raise CorruptData(f"{join(url, name)!r} is missing or differs from the checksum in {MARKER}: copy it again")
