"""Questions to a judge: which pairs of answers, in which order, and what stands in each.

A message is the template with the prompt and two answers in it. Texts of records are put in as they are: nothing in
them is taken for a place of the template. Pictures stand where the record has them, as data addresses.
"""

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import PIL.Image

from data_pipeline.media.pixels import decode_rgb, opened
from data_pipeline.records.comparison import Comparison, ImageSlot, Part
from rm_core.evaluation.judge.config import PLACEHOLDERS, JudgeConfig

__all__ = ["Asked", "content_of", "data_address", "orders_of"]

_SENT_AS_FOUND = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_ORIENTATION_TAG = 0x0112
_PLACES = re.compile("|".join(map(re.escape, PLACEHOLDERS)))

Piece = str | bytes
"""A text, or the file of a picture."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One item to ask about.

    Attributes:
        place: of the item among all.
        fields: what its kept line says beside the judge's answers, JSON.
        pictures: files of each of the Comparison's media: one, or the frames of a video.
        failure: why nothing can be asked about it, behind a word to count by; None: it can.
    """

    place: int
    fields: dict[str, Any]
    comparison: Comparison
    pictures: tuple[tuple[bytes, ...], ...]
    failure: str | None = None


def orders_of(num_responses: int, *, both: bool, key: str) -> list[tuple[int, int]]:
    """(first, second) answers of each question, all pairs one after the other.

    Args:
        both: each pair in both orders; else in one, drawn by `key`.

    >>> orders_of(3, both=True, key="")
    [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    """
    found = []
    for a, b in combinations(range(num_responses), 2):
        if both:
            found += [(a, b), (b, a)]
        else:
            found.append((b, a) if hashlib.sha256(f"{key} {a} {b}".encode()).digest()[0] % 2 else (a, b))
    return found


def content_of(asked: Asked, config: JudgeConfig, order: tuple[int, int]) -> list[dict[str, Any]]:
    """The parts of the one message that asks which of two answers is better, as the chat API takes them."""
    pieces = _joined(_pieces(asked, config.template, order))
    return [
        {"type": "text", "text": piece}
        if isinstance(piece, str)
        else {"type": "image_url", "image_url": {"url": data_address(piece)}}
        for piece in pieces
    ]


def data_address(data: bytes) -> str:
    """A picture as an address that holds it: JPEG, PNG and WEBP as found, others and turned ones as upright PNG.

    Raises:
        RecordError: it does not decode.
    """
    with opened(data) as image:
        is_plain = getattr(image, "n_frames", 1) == 1 and image.getexif().get(_ORIENTATION_TAG, 1) == 1
        kind = _SENT_AS_FOUND.get(image.format or "") if is_plain else None
    if kind is None:
        kind, data = "image/png", _png(decode_rgb(data))
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _png(upright: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    upright.save(buffer, "PNG")
    return buffer.getvalue()


def _pieces(asked: Asked, template: str, order: tuple[int, int]) -> Iterator[Piece]:
    responses = asked.comparison.responses
    inserted = {
        "{prompt}": lambda: _prompt(asked),
        "{first}": lambda: _parts(asked, responses[order[0]].parts),
        "{second}": lambda: _parts(asked, responses[order[1]].parts),
    }
    done = 0
    for place in _PLACES.finditer(template):
        yield template[done : place.start()]
        yield from inserted[place.group()]()
        done = place.end()
    yield template[done:]


def _prompt(asked: Asked) -> Iterator[Piece]:
    """One turn of a user as it is; several with their roles."""
    turns = asked.comparison.prompt
    if len(turns) == 1 and turns[0].role == "user":
        yield from _parts(asked, turns[0].parts)
        return
    for number, turn in enumerate(turns):
        yield f"{turn.role}:\n" if number == 0 else f"\n\n{turn.role}:\n"
        yield from _parts(asked, turn.parts)


def _parts(asked: Asked, parts: Sequence[Part]) -> Iterator[Piece]:
    for part in parts:
        if isinstance(part, ImageSlot):
            yield from asked.pictures[part.index]
        else:
            yield part


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Texts that follow each other as one; none that is empty."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece:
            found.append(piece)
    return found
