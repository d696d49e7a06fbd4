"""The one record of the system: a prompt, its media and K ranked responses.

A preference pair is a Comparison with K = 2; a benchmark item is one too. `sources` build them from raw
records, `records.checks` refuses what cannot be learnt from, `encoding` turns them into tokens.

    >>> Comparison(
    ...     id="7", source="mine",
    ...     prompt=(Turn("user", (ImageSlot(0), "What colour is the bus?")),),
    ...     responses=(Response(("Red.",), rank=0), Response(("Blue.",), rank=1)),
    ...     media=(MediaRef(path="images/bus.jpg"),),
    ... ).num_responses
    2
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data_pipeline.errors import RecordError

__all__ = [
    "ROLES",
    "Comparison",
    "ImageSlot",
    "MediaRef",
    "Part",
    "Reasoning",
    "Response",
    "Turn",
    "ranks_from_scores",
]

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class ImageSlot:
    """The place of `Comparison.media[index]`, an image or a video, inside a text."""

    index: int


Part = str | ImageSlot


@dataclass(frozen=True, slots=True)
class MediaRef:
    """An image as its record names it: bytes, or a path below the source's media root. Not yet read or trusted.

    `data` wins where a record carries both (hub sets keep the original file name beside the bytes). A video
    (`is_video`) is named by the path of its folder of frames or of its file, or is the bytes of a file, and comes out
    of a shard with the bytes of `frames`. `decoded`: the bytes are a frame that was decoded from a video file.
    """

    path: str | None = None
    data: bytes | None = None
    is_video: bool = False
    frames: tuple[bytes, ...] = ()
    decoded: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the prompt."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Response:
    """One of the K answers.

    Attributes:
        rank: 0 is best; equal ranks are a tie.
        score: the source's own number, if any.
        critique: what somebody wrote about the answer, if anybody did.
    """

    parts: tuple[Part, ...]
    rank: int
    score: float | None = None
    critique: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.parts)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What somebody wrote about two answers that were shown one after the other.

    Attributes:
        first: place of the response that was shown first, which the text calls answer 1.
        second: of the other one.
        text: why one of them is better, without a verdict.
    """

    first: int
    second: int
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One prompt with its media and K >= 2 ranked responses.

    Attributes:
        id: unique within its source file where the source has ids; never used as a key.
        source: the name the recipe gives the source.
        prompt: the turns up to and without the answer, oldest first.
        responses: K answers in the record's own order.
        media: what every `ImageSlot.index` of prompt and responses points into.
        split: set only where the record itself fixes it; otherwise assigned by content.
        reasonings: about pairs of responses, which judges learn to write.
    """

    id: str
    source: str
    prompt: tuple[Turn, ...]
    responses: tuple[Response, ...]
    media: tuple[MediaRef, ...] = ()
    split: str | None = None
    reasonings: tuple[Reasoning, ...] = ()

    @property
    def num_responses(self) -> int:
        return len(self.responses)

    @property
    def num_ordered_pairs(self) -> int:
        """Pairs (i, j) with response i strictly better than response j; 4 distinct ranks give 6."""
        ranks = [response.rank for response in self.responses]
        return sum(a < b for a in ranks for b in ranks)

    def image_slots(self) -> list[int]:
        """Media indices in the order their spans stand in [prompt | response 1 | ... | response K]."""
        parts: list[Part] = [part for turn in self.prompt for part in turn.parts]
        parts += [part for response in self.responses for part in response.parts]
        return [part.index for part in parts if isinstance(part, ImageSlot)]


def text_of(parts: Iterable[Part]) -> str:
    """The text of `parts` with images left out."""
    return "".join(part for part in parts if isinstance(part, str))


def ranks_from_scores(scores: Sequence[float]) -> tuple[int, ...]:
    """Dense ranks, best first: [3.0, 5.0, 3.0] -> (1, 0, 1).

    Raises:
        RecordError: a score is not a finite number (reason ``"unparsable_label"``).
    """
    if any(score != score or score in (float("inf"), float("-inf")) for score in scores):
        raise RecordError("unparsable_label", f"scores {list(scores)!r}")
    order = sorted(set(scores), reverse=True)
    return tuple(order.index(score) for score in scores)
