"""One shard as encoded Comparisons: views of its Arrow buffers are taken once, and a row is a handful of slices.

    token ids   zero-copy views of the (memory-mapped) file
    images      bytes of the file, copied when they are asked for

Reading a row with `as_py` of nested lists costs about fifteen times as much.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.dataset.shards import image_format_of
from data_pipeline.encoding.encoded import EncodedReasoning
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.encoding.truncate import Cut
from data_pipeline.media import ImageFormat
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Reasoning, Response, Turn

__all__ = ["ShardReader"]

Ids = npt.NDArray[np.int32]


class ShardReader:
    """Rows of one shard.

    Args:
        comparisons: in `COMPARISON_SCHEMA`, of any number of record batches.
        images: in `IMAGE_SCHEMA`, likewise.
    """

    def __init__(self, comparisons: pa.Table, images: pa.Table) -> None:
        self._table = comparisons
        self._rows = [_Rows(batch) for batch in comparisons.to_batches()]
        self._row_starts = _starts(comparisons)
        format = image_format_of(images)
        self._images = [_Images(batch, format) for batch in images.to_batches()]
        self._image_starts = _starts(images)

    def __len__(self) -> int:
        return len(self._table)

    def encoded(self, row: int, cut: Cut, split: str, *, first_span: int = 0) -> EncodedComparison:
        """Row `row` as tokens, cut. Its arrays are read-only views of the file where nothing is cut of them.

        Args:
            cut: what stays; turns that go have no image.
            split: the split that filtering put the row in.
            first_span: images and videos before this one are left out: others have read them.
        """
        batch = bisect_right(self._row_starts, row) - 1
        rows, place = self._rows[batch], row - self._row_starts[batch]
        prefix = rows.prefix_ids[place]
        if cut.dropped_turns:
            ends = np.cumsum(rows.turn_lengths[place])
            prefix = np.concatenate([prefix[: ends[0]], prefix[ends[cut.dropped_turns] :]])
        starts = rows.target_starts(place)
        if starts and any(
            not 0 < start <= len(ids) for start, ids in zip(starts, rows.response_ids[place], strict=True)
        ):
            raise ValueError(f"critiques begin at {starts} of responses of other lengths")
        return EncodedComparison(
            id=rows.id[place],
            source=rows.source[place],
            split=split,
            prefix_ids=prefix,
            response_ids=tuple(
                ids if len(ids) <= keep else np.concatenate([ids[: keep - 1], ids[-1:]])
                for ids, keep in zip(rows.response_ids[place], cut.response_keep, strict=True)
            ),
            ranks=tuple(rows.ranks[place].tolist()),
            scores=rows.scores(place),
            images=self._spans(rows.spans(place)[first_span:]),
            target_starts=starts,
            reasonings=rows.reasonings(place),
        )

    def comparison(self, row: int, split: str) -> Comparison:
        """Row `row` as whole texts and image bytes."""
        values = self._table.slice(row, 1).to_pylist()[0]
        spans = _spans_of(values["images"], values["span_frames"], values["span_seconds"])
        media = {span: slot for slot, span in enumerate(dict.fromkeys(spans))}
        slot_of = [media[span] for span in spans]
        return Comparison(
            id=values["id"],
            source=values["source"],
            prompt=tuple(Turn(turn["role"], _parts(turn["parts"], slot_of)) for turn in values["prompt"]),
            responses=tuple(
                Response(_parts(response["parts"], slot_of), response["rank"], response["score"], critique)
                for response, critique in zip(
                    values["responses"], values.get("critiques") or [None] * len(values["responses"]), strict=True
                )
            ),
            media=tuple(map(_media_ref, self._spans(media))),
            split=split,
            reasonings=tuple(Reasoning(**one) for one in values.get("reasonings") or ()),
        )

    def _spans(self, spans: Iterable["_Span"]) -> tuple[VisionSpan, ...]:
        return tuple(
            EncodedVideo(tuple(map(self._image, rows)), seconds) if is_video else self._image(rows[0])
            for rows, is_video, seconds in spans
        )

    def _image(self, row: int) -> EncodedImage:
        batch = bisect_right(self._image_starts, row) - 1
        return self._images[batch].at(row - self._image_starts[batch])


class _Rows:
    """Views of one record batch of Comparisons."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.id = _Texts(batch["id"])
        self.source = _Texts(batch["source"])
        self.prefix_ids = _Lists(batch["prefix_ids"])
        self.turn_lengths = _Lists(batch["turn_lengths"])
        self.response_ids = _NestedLists(batch["response_ids"])
        self.ranks = _Lists(batch["ranks"])
        self._images, self._frames = _Lists(batch["images"]), _Lists(batch["span_frames"])
        self._seconds = _Lists(batch["span_seconds"])
        has_critiques = "target_starts" in batch.schema.names
        self._target_starts = _Lists(batch["target_starts"]) if has_critiques else None
        has_reasonings = "reasoning_ids" in batch.schema.names
        self._reasoning_pairs = _Lists(batch["reasoning_pairs"]) if has_reasonings else None
        self._reasoning_ids = _NestedLists(batch["reasoning_ids"]) if has_reasonings else None
        responses = batch["responses"]
        scores = responses.values.flatten()[responses.values.type.get_field_index("score")]
        self._score_offsets = memoryview(responses.offsets.to_numpy())
        self._scores = scores.fill_null(0.0).to_numpy()
        self._has_score = scores.is_valid().to_numpy(zero_copy_only=False)

    def spans(self, place: int) -> list["_Span"]:
        lists = (self._images, self._frames, self._seconds)
        return _spans_of(*(column[place].tolist() for column in lists))

    def target_starts(self, place: int) -> tuple[int, ...]:
        return () if self._target_starts is None else tuple(self._target_starts[place].tolist())

    def reasonings(self, place: int) -> tuple[EncodedReasoning, ...]:
        if self._reasoning_pairs is None or self._reasoning_ids is None:
            return ()
        pairs = self._reasoning_pairs[place].reshape(-1, 2).tolist()
        count = len(self.ranks[place])
        if any(not 0 <= at < count for pair in pairs for at in pair):
            raise ValueError(f"reasonings are about answers {pairs} of {count}")
        texts = zip(pairs, self._reasoning_ids[place], strict=True)
        return tuple(EncodedReasoning(first, second, ids) for (first, second), ids in texts)

    def scores(self, place: int) -> tuple[float | None, ...]:
        inside = slice(self._score_offsets[place], self._score_offsets[place + 1])
        values, known = self._scores[inside].tolist(), self._has_score[inside].tolist()
        return tuple(value if there else None for value, there in zip(values, known, strict=True))


class _Images:
    """Views of one record batch of images."""

    def __init__(self, batch: pa.RecordBatch, format: ImageFormat) -> None:
        self._format = format
        self._key = _Texts(batch["sha256"])
        self._data = _Bytes(batch["data"])
        self._height = memoryview(batch["height"].to_numpy())
        self._width = memoryview(batch["width"].to_numpy())
        self._resized = batch["resized"].to_numpy(zero_copy_only=False).tolist()

    def at(self, place: int) -> EncodedImage:
        return EncodedImage(
            key=self._key[place],
            data=bytes(self._data[place]),
            height=self._height[place],
            width=self._width[place],
            resized=self._resized[place],
            format=self._format,
        )


class _Bytes:
    """Values of a string or binary column without nulls, as views."""

    def __init__(self, column: pa.Array) -> None:
        _, offsets, data = column.buffers()
        wide = column.type in (pa.large_binary(), pa.large_string())
        places: npt.NDArray[Any] = np.frombuffer(offsets or b"", np.int64 if wide else np.int32)
        self._offsets = places[column.offset : column.offset + len(column) + 1].data
        self._data = memoryview(data if data is not None else b"")

    def __getitem__(self, place: int) -> memoryview:
        return self._data[self._offsets[place] : self._offsets[place + 1]]


class _Texts(_Bytes):
    def __getitem__(self, place: int) -> str:  # type: ignore[override]  # the same bytes, decoded
        return str(super().__getitem__(place), "utf8")


class _Lists:
    """Values of a list column without nulls, as views."""

    def __init__(self, column: pa.ListArray) -> None:
        self._offsets = memoryview(column.offsets.to_numpy())
        self._values: npt.NDArray[Any] = column.values.to_numpy()

    def __getitem__(self, place: int) -> npt.NDArray[Any]:
        return self._values[self._offsets[place] : self._offsets[place + 1]]


class _NestedLists:
    def __init__(self, column: pa.ListArray) -> None:
        self._offsets = memoryview(column.offsets.to_numpy())
        self._lists = _Lists(column.values)

    def __getitem__(self, place: int) -> list[Ids]:
        return [self._lists[inner] for inner in range(self._offsets[place], self._offsets[place + 1])]


def _starts(table: pa.Table) -> list[int]:
    """The first row of each record batch."""
    return [0, *accumulate(batch.num_rows for batch in table.to_batches())][:-1]


_Span = tuple[tuple[int, ...], bool, float]
"""Rows of the image table, whether they are a video's frames, and its seconds a step."""


def _spans_of(images: Sequence[int], frames: Sequence[int], seconds: Sequence[float]) -> list[_Span]:
    """The columns `images`, `span_frames` and `span_seconds` of a row, span by span."""
    rows = iter(images)
    return [
        (tuple(islice(rows, max(1, count))), count > 0, spacing) for count, spacing in zip(frames, seconds, strict=True)
    ]


def _media_ref(span: VisionSpan) -> MediaRef:
    if isinstance(span, EncodedVideo):
        return MediaRef(is_video=True, frames=tuple(frame.data for frame in span.frames))
    return MediaRef(data=span.data)


def _parts(parts: Sequence[dict[str, Any]], slot_of: Sequence[int]) -> tuple[Part, ...]:
    return tuple(part["text"] if part["span"] is None else ImageSlot(slot_of[part["span"]]) for part in parts)
