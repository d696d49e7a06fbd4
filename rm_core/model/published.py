"""Model folders to and from an object store: complete or absent there too, and read through local copies."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from data_pipeline.errors import MissingInput
from data_pipeline.storage import (
    delete_folder,
    exists,
    is_local,
    join,
    list_files,
    name_of,
    open_input,
    read_bytes,
    upload,
)

__all__ = ["MARKER", "local_model", "publish"]

MARKER = "model.json"
"""Written last: a folder without it is no model."""


def publish(draft: str, url: str) -> None:
    """Put the finished local folder `draft` at `url`, in place of what is there; `draft` is gone afterwards."""
    delete_folder(url, first=MARKER)
    if is_local(url):
        os.replace(draft, url)
        return
    for name in sorted(os.listdir(draft), key=lambda name: name == MARKER):
        upload(os.path.join(draft, name), join(url, name))
    shutil.rmtree(draft)


def local_model(url: str) -> str:
    """A local folder with the model at `url`: itself, or a copy that processes of this machine and user share.

    Raises:
        MissingInput: no complete model there.
    """
    if is_local(url):
        return url
    if not exists(join(url, MARKER)):
        raise MissingInput(f"{url!r} has no {MARKER}: there is no model, or its upload was cut off; export it again")
    version = hashlib.sha256(url.encode() + read_bytes(join(url, MARKER))).hexdigest()[:32]
    copies = Path(tempfile.gettempdir(), f"basereward-models-{os.getuid()}")
    copies.mkdir(mode=0o700, exist_ok=True)
    copy = copies / version
    if not copy.exists():
        with tempfile.TemporaryDirectory(dir=copies, prefix=f"{version}.") as name:
            draft = Path(name, "model")
            draft.mkdir()
            for file in list_files(url):
                with open_input(file) as source, open(draft / name_of(file), "wb") as target:
                    shutil.copyfileobj(source, target)
            if not copy.exists():  # another process was first
                os.replace(draft, copy)
    return str(copy)
