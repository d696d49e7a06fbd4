"""A few Comparisons to look at: texts, ranks, lengths and small pictures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import pyarrow as pa

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.media import decode_rgb
from data_pipeline.records.comparison import Comparison, ImageSlot, Part

__all__ = [
    "MAX_SAMPLES",
    "Picture",
    "Sample",
    "SampleResponse",
    "SampleTurn",
    "choose",
    "plain_samples",
    "read_samples",
]

MAX_SAMPLES = 200
_SIDE = 200  # longest side of a small picture, in pixels
_QUALITY = 72
_PICTURE_BYTES = 2_600_000  # all pictures together; base64 makes a third more of it
_TEXT_CHARS = 700_000  # all texts together
_LEAST_CHARS, _MOST_CHARS = 160, 2400  # of one text


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image, or a frame of a video, as a small JPEG.

    Attributes:
        data: base64 of the JPEG; None where there is none.
        width: of the JPEG, in pixels.
        height: of the JPEG, in pixels.
        told: the size the model sees, its span's tokens, a frame's place and time, and whether the shard holds resized
            pixels.
        resized: whether it does.
        gone: why there is no JPEG.
    """

    data: str | None
    width: int
    height: int
    told: str
    resized: bool
    gone: str = ""


SamplePart = str | Picture


@dataclass(frozen=True, kw_only=True)
class SampleTurn:
    """One turn of the prompt; `dropped`: it was cut away to fit the token limit."""

    role: str
    parts: tuple[SamplePart, ...]
    dropped: bool


@dataclass(frozen=True, kw_only=True)
class SampleResponse:
    """One answer; `tokens` is what is left of `whole_tokens` after truncation, None where nobody has counted them.

    Where a critique is read, its tokens are among them; `critique` is its text, empty where there is none.
    """

    parts: tuple[SamplePart, ...]
    rank: int
    score: float | None
    tokens: int | None
    whole_tokens: int | None
    num_chars: int
    critique: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One Comparison; `split` is empty where it is none of prepared data, and `prompt_tokens` None."""

    id: str
    source: str
    split: str
    repeats: int
    prompt_tokens: int | None
    turns: tuple[SampleTurn, ...]
    responses: tuple[SampleResponse, ...]


def choose(rows: pa.Table, count: int, seed: int) -> list[int]:
    """Indices of `count` rows at most, ascending: the same number of each source as far as they go."""
    sources = rows["source"].to_numpy(zero_copy_only=False)
    random = np.random.default_rng(seed)
    shuffled = [random.permutation(np.flatnonzero(sources == name)) for name in dict.fromkeys(sources.tolist())]
    chosen: list[int] = []
    for place in range(max((len(one) for one in shuffled), default=0)):
        if len(chosen) >= count:
            break
        chosen += [int(one[place]) for one in shuffled if place < len(one)]
    return sorted(chosen[:count])


def read_samples(data: PreparedData, indices: Sequence[int]) -> list[Sample]:
    """Read them from their shards; pictures and texts are bounded together, so that the page stays small.

    Raises:
        CorruptData: a shard is not the one that was written.
    """
    reader = _SampleReader(len(indices))
    return [reader.sample(data, index) for index in indices]


def plain_samples(rows: Sequence[tuple[Comparison, Sequence[Sequence[bytes] | str]]]) -> list[Sample]:
    """Comparisons that were not prepared, bounded as those of `read_samples`.

    Args:
        rows: each with the files of its media, frames of a video one after the other; or why there are none.
    """
    reader = _SampleReader(len(rows))
    return [reader.plain(comparison, media) for comparison, media in rows]


class _SampleReader:
    """Reads samples and knows how much room the page has left."""

    def __init__(self, num_samples: int) -> None:
        texts = _TEXT_CHARS // max(1, 6 * num_samples)
        self._max_chars = min(max(texts, _LEAST_CHARS), _MOST_CHARS)
        self._bytes_left = _PICTURE_BYTES

    def sample(self, data: PreparedData, index: int) -> Sample:
        comparison, encoded, whole = data.comparison(index), data.encoded(index), data.whole(index)
        planned = data.rows.slice(index, 1).to_pylist()[0]
        pictures = self._pictures(comparison, whole)
        dropped = _dropped(comparison, planned["dropped_turns"])
        responses = [
            SampleResponse(
                parts=self._parts(response.parts, pictures),
                rank=response.rank,
                score=response.score,
                tokens=len(ids),
                whole_tokens=len(whole_ids),
                num_chars=len(response.text),
                critique=self._short(response.critique or ""),
            )
            for response, ids, whole_ids in zip(
                comparison.responses, encoded.response_ids, whole.response_ids, strict=True
            )
        ]
        return Sample(
            id=self._short(comparison.id),
            source=comparison.source,
            split=planned["split"],
            repeats=planned["repeats"],
            prompt_tokens=len(encoded.prefix_ids),
            turns=tuple(
                SampleTurn(role=turn.role, parts=self._parts(turn.parts, pictures), dropped=place in dropped)
                for place, turn in enumerate(comparison.prompt)
            ),
            responses=tuple(responses),
        )

    def plain(self, comparison: Comparison, media: Sequence[Sequence[bytes] | str]) -> Sample:
        pictures = {slot: self._plain_pictures(files) for slot, files in enumerate(media)}
        return Sample(
            id=self._short(comparison.id),
            source=comparison.source,
            split="",
            repeats=0,
            prompt_tokens=None,
            turns=tuple(
                SampleTurn(role=turn.role, parts=self._parts(turn.parts, pictures), dropped=False)
                for turn in comparison.prompt
            ),
            responses=tuple(
                SampleResponse(
                    parts=self._parts(response.parts, pictures),
                    rank=response.rank,
                    score=response.score,
                    tokens=None,
                    whole_tokens=None,
                    num_chars=len(response.text),
                    critique=self._short(response.critique or ""),
                )
                for response in comparison.responses
            ),
        )

    def _plain_pictures(self, files: Sequence[bytes] | str) -> tuple[Picture, ...]:
        if isinstance(files, str):
            told = self._short(files)
            return (Picture(data=None, width=0, height=0, told=told, resized=False, gone="it can't be read"),)
        return tuple(
            self._small(data, "{width} x {height}" if len(files) == 1 else f"frame {place} of {len(files)}")
            for place, data in enumerate(files, 1)
        )

    def _pictures(self, comparison: Comparison, encoded: EncodedComparison) -> dict[int, tuple[Picture, ...]]:
        """Those of each media index that is used; `encoded` has the spans of all slots, cut or not."""
        slots = comparison.image_slots()
        return {slot: self._shown(span) for slot, span in dict(zip(slots, encoded.images, strict=True)).items()}

    def _shown(self, span: VisionSpan) -> tuple[Picture, ...]:
        if not isinstance(span, EncodedVideo):
            return (self._picture(span, f"{span.num_tokens} tokens"),)
        of = f"of {len(span.frames)} of a video of {span.num_tokens} tokens"
        seconds = span.seconds_per_step / 2
        return tuple(
            self._picture(frame, f"frame {place + 1} {of}, at {place * seconds:.1f} s")
            for place, frame in enumerate(span.frames)
        )

    def _picture(self, image: EncodedImage, what: str) -> Picture:
        caption = f"{{width}} x {{height}} stored, {image.width} x {image.height} seen: {what}"
        if image.resized:
            caption += "; the shard holds the resized pixels: the original was larger than media.keep_original_bytes, "
            caption += "or is a frame of a video file"
        return self._small(image.data, caption, resized=image.resized)

    def _small(self, data: bytes, caption: str, *, resized: bool = False) -> Picture:
        """A picture as a small JPEG; `caption` may say ``{width}`` and ``{height}`` of the file."""
        small = decode_rgb(data)
        told = caption.format(width=small.width, height=small.height)
        small.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BICUBIC, reducing_gap=2.0)
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=_QUALITY)
        jpeg = buffer.getvalue()
        fits = len(jpeg) <= self._bytes_left
        self._bytes_left -= len(jpeg) if fits else 0
        text = base64.b64encode(jpeg).decode() if fits else None
        gone = "" if fits else "the page has no room for more"
        return Picture(data=text, width=small.width, height=small.height, told=told, resized=resized, gone=gone)

    def _parts(self, parts: Sequence[Part], pictures: dict[int, tuple[Picture, ...]]) -> tuple[SamplePart, ...]:
        found: list[SamplePart] = []
        for part in parts:
            if isinstance(part, ImageSlot):
                found += pictures[part.index]
            elif part:
                found.append(self._short(part))
        return tuple(found)

    def _short(self, text: str) -> str:
        if len(text) <= self._max_chars:
            return text
        return f"{text[: self._max_chars]}… ({len(text) - self._max_chars:,} more characters)"


def _dropped(comparison: Comparison, count: int) -> set[int]:
    """Places of the oldest `count` turns after the system turn."""
    first = 1 if comparison.prompt[0].role == "system" else 0
    return set(range(first, first + count))
