"""Whether a field that is not read holds a part of its record: a picture, a video, sound, a call of a tool."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipeline.records.comparison import MediaRef
from data_pipeline.sources.parsing.watched import Unread, Watched

__all__ = ["has_meaning", "media_in", "shown_value"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_MEDIA = re.compile(r"(?:image|img|picture|pic|photo|screenshot|video|audio)s?|frames")
_PLACE = r"(?:path|url|uri|file|filename|name)s?|src"
_ORIGIN = re.compile(rf"{_PLACE}|source")
"""Words of a field that says where the bytes beside it come from."""
_BESIDE_MEDIA = re.compile(
    rf"{_PLACE}|data|bytes|base64|b64|list|input|prompt|question|query|context|chosen|rejected|answer|"
    r"response|output|[ab]|first|second|third|left|right|before|after|raw|original|extra|other|more|main|\d+"
)
"""Words that may stand beside one of `_MEDIA` in the name of a field of media; ``image_id`` and ``image_caption`` are
no media."""
_NOTHING = frozenset(["", "none", "null", "nan", "n/a", "na", "no", "yes", "true", "false", "[]", "{}"])
_FILE = re.compile(
    r"\S+\.(?:png|jpe?g|gif|bmp|webp|tiff?|heic|heif|avif|svg|mp4|avi|mov|mkv|webm|m4v|mpe?g|mp3|wav|flac|ogg|m4a)"
    r"(?:[?#]\S*)?",
    re.IGNORECASE,
)
_MAX_PATH_CHARS = 4096
_MAX_JSON_CHARS = 1 << 20
_MAX_SHOWN_CHARS = 80
_EMBEDDED = ("bytes", "path", "url", "data")
"""Fields of a picture's own object, which is called as the field that holds it."""
_DATA_URL = re.compile(r"data:(?:image|video|audio)/", re.IGNORECASE)
_BASE64 = re.compile(r"(?:data:[\w.+/-]*;base64,)?\s*([A-Za-z0-9+/_-]{24})[A-Za-z0-9+/_=\s-]{76,}", re.IGNORECASE)
"""Bytes as text, more than a checksum has, with the first of them in its group."""
_USUAL = str.maketrans("-_", "+/")
"""From base64's marks in addresses to the usual ones."""
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"\x1aE\xdf\xa3", b"OggS", b"fLaC")

_OF_RECORD = re.compile(
    r"tools|functions|(?:(?:chosen|rejected)_)?(?:tool|function)_calls?|tool_(?:responses|results|outputs)|"
    r"(?:(?:chat|conversation|dialog(?:ue)?)_)?history|"
    r"system(?:_prompt|_message|_instruction)?"
)
_OF_TURN = re.compile(rf"{_OF_RECORD.pattern}|refusal|(?:reasoning|thinking)(?:_content)?")


def media_in(one: Unread, read: Sequence[MediaRef], *, by_name: bool = False) -> bool:
    """Whether the field, or anything in it, is a medium that is none of those `read` of the record.

    A path that was read under another name is not lost, nor is the name of a file beside its embedded bytes.

    Args:
        by_name: only what is called so; a text that looks like a path is none.
    """
    known = {ref.path.rpartition("/")[2] for ref in read if ref.path}
    origins_left = sum(ref.path is None for ref in read)
    for name, value in _leaves(one.path.rpartition(".")[2], one.value):
        words = _words(name)
        if not ((_is_named(words) and _is_something(value)) or (not by_name and _is_medium(value))):
            continue
        if isinstance(value, str) and value.rpartition("/")[2] in known:
            continue
        if isinstance(value, str) and origins_left and any(map(_ORIGIN.fullmatch, words)):
            origins_left -= 1
            continue
        return True
    return False


def has_meaning(one: Unread) -> bool:
    """Whether the field is a part of the conversation: calls of tools, a system prompt, turns before the prompt."""
    name = "_".join(_words(one.path.rpartition(".")[2]))
    is_turn = not {"role", "from"}.isdisjoint(one.within)
    return bool((_OF_TURN if is_turn else _OF_RECORD).fullmatch(name)) and not _is_nothing(one.value)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_named(words: Sequence[str]) -> bool:
    """Whether a field of these words holds media."""
    beside = [word for word in words if not _MEDIA.fullmatch(word)]
    return len(beside) < len(words) and all(map(_BESIDE_MEDIA.fullmatch, beside))


def shown_value(one: Unread) -> str:
    """The first thing that stands in the field, for a message."""
    for _, value in _leaves("", one.value):
        if isinstance(value, bytes):
            return f"{len(value):,} bytes"
        if _is_something(value):
            return repr(value[:_MAX_SHOWN_CHARS])
    return "nothing"


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Every text, bytes and number in the value, with the name of the field that holds it."""
    waiting = [(name, value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            inner = value.fields() if isinstance(value, Watched) else value.items()
            waiting += reversed([(name if key in _EMBEDDED else key, one) for key, one in inner])
        elif isinstance(value, list | tuple):
            waiting += [(name, one) for one in reversed(value)]
        elif (inside := _json_inside(value)) is not None:
            waiting.append((name, inside))
        else:
            yield name, value


def _json_inside(value: Any) -> Any:
    """The object or list that a text holds as JSON, as tables keep what they have no column for; None: it is a text."""
    if not isinstance(value, str) or len(value) > _MAX_JSON_CHARS or value[:1] + value[-1:] not in ("{}", "[]"):
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _is_medium(value: Any) -> bool:
    """Told by the value alone, whatever its field is called."""
    if isinstance(value, bytes):
        return _is_media_file(value)
    if not isinstance(value, str):
        return False
    if _DATA_URL.match(value) or (len(value) <= _MAX_PATH_CHARS and _FILE.fullmatch(value.strip())):
        return True
    packed = _BASE64.fullmatch(value)
    return packed is not None and _is_media_file(base64.b64decode(packed[1].translate(_USUAL)))


def _is_media_file(data: bytes) -> bool:
    return data.startswith(_MAGIC) or data[4:8] == b"ftyp"


def _is_something(value: Any) -> bool:
    """Whether a leaf is bytes, or a text that does not say that there is none."""
    if isinstance(value, str):
        return len(value) > _MAX_PATH_CHARS or value.strip().lower() not in _NOTHING
    return isinstance(value, bytes) and bool(value)


def _is_nothing(value: Any) -> bool:
    return not any(_is_something(leaf) for _, leaf in _leaves("", value))
