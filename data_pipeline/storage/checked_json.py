"""JSON files that hold the checksum of their own content.

A marker (``manifest.json``, ``COMPLETE.json``, ``model.json``) vouches for other files by their checksums, so a changed
bit in the marker itself would go unnoticed: one digit of a step, one letter of a key. `to_checked_json` writes the
fields with a checksum over all of them; `from_checked_json` refuses what does not match.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from data_pipeline.errors import CorruptData

__all__ = ["CHECKSUM", "from_checked_json", "to_checked_json"]

CHECKSUM = "checksum"


def to_checked_json(fields: Mapping[str, Any]) -> bytes:
    """`fields` as readable JSON with their checksum; floats come back bit for bit.

    >>> from_checked_json(to_checked_json({"step": 36}), "COMPLETE.json")
    {'step': 36}
    """
    assert CHECKSUM not in fields
    checked = {**fields, CHECKSUM: _checksum(fields)}
    return (json.dumps(checked, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def from_checked_json(data: bytes, url: str) -> dict[str, Any]:
    """The fields in `data`; `url` is for messages.

    Raises:
        CorruptData: it is no JSON object, has no checksum, or the fields differ from it.
    """
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise CorruptData(f"{url!r} is damaged: {error}") from error
    if not isinstance(fields, dict):
        raise CorruptData(f"{url!r} is damaged: it holds no JSON object")
    written = fields.pop(CHECKSUM, None)
    if written is None:
        raise CorruptData(f"{url!r} has no {CHECKSUM}: it is damaged, or an earlier version wrote it")
    if written != _checksum(fields):
        raise CorruptData(f"{url!r} is damaged: its content differs from its {CHECKSUM}")
    return fields


def _checksum(fields: Mapping[str, Any]) -> str:
    """sha256 of the fields as JSON without spaces, keys sorted: the same before writing and after reading."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
