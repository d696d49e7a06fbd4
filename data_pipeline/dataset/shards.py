"""Arrow shards: one file of Comparisons and one of their images and frames of videos, each stored once a shard.

Arrow IPC file format, uncompressed, so that a local shard is memory-mapped and a row costs no parsing. Images are the
original files' bytes where these are small, and are resized when a batch is made.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline import storage
from data_pipeline.dataset.layout import shard_folder, shard_urls
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, Segments, VisionSpan
from data_pipeline.errors import CorruptData
from data_pipeline.media import IMAGE_FORMATS, QWEN2_5_VL, ImageFormat
from data_pipeline.records.comparison import Comparison, ImageSlot, Part, text_of

__all__ = [
    "COMPARISON_SCHEMA",
    "CRITIQUE_COLUMNS",
    "IMAGE_SCHEMA",
    "REASONING_COLUMNS",
    "SCHEMA_VERSION",
    "ShardFile",
    "ShardInfo",
    "ShardRow",
    "image_format_of",
    "read_table",
    "reasoned_lengths",
    "serialise",
    "span_frames",
    "table_of",
    "write_shard",
]

SCHEMA_VERSION = 3

_PARTS = pa.list_(pa.struct([("text", pa.string()), ("span", pa.int32())]))
COMPARISON_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("parts", _PARTS)]))),
        ("responses", pa.list_(pa.struct([("parts", _PARTS), ("rank", pa.int32()), ("score", pa.float64())]))),
        ("prefix_ids", pa.list_(pa.int32())),
        ("turn_lengths", pa.list_(pa.int32())),
        ("turn_images", pa.list_(pa.int32())),
        ("response_ids", pa.list_(pa.list_(pa.int32()))),
        ("ranks", pa.list_(pa.int32())),
        ("images", pa.list_(pa.int32())),
        ("span_frames", pa.list_(pa.int32())),
        ("span_seconds", pa.list_(pa.float64())),
        ("content_key", pa.string()),
    ]
)
"""A part is a text or the place of a span in the row. Each span has an entry in `span_frames`, 0 for a still image and
n for a video of n frames, and in `span_seconds`, the seconds a step of a video, 0 for a still image. `images` are rows
of the shard's image table: one for a still image, n for a video, span after span.

Tokens are whole, not truncated; `turn_lengths` and `turn_images` are the segments [system turn, turns, answer header]
of the prefix, where it may be cut.
"""
CRITIQUE_COLUMNS = [pa.field("target_starts", pa.list_(pa.int32())), pa.field("critiques", pa.list_(pa.string()))]
"""Of shards with critiques, behind the others: for each response, how many of its tokens stand before its critique, and
the critique's text, null where it has none."""
REASONING_COLUMNS = [
    pa.field("reasonings", pa.list_(pa.struct([("first", pa.int32()), ("second", pa.int32()), ("text", pa.string())]))),
    pa.field("reasoning_pairs", pa.list_(pa.int32())),
    pa.field("reasoning_ids", pa.list_(pa.list_(pa.int32()))),
]
"""Of shards with reasonings, behind the others: all of the record, and of those that are read their two places, one
behind the other, and their tokens."""
IMAGE_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("data", pa.large_binary()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("resized", pa.bool_()),
    ]
)
"""`sha256` is of the original file; `data` is that file, or where `resized` its resized pixels in a lossless one;
height and width are those after resizing, in pixels. The metadata `image_format` name an `ImageFormat` that is not
Qwen2.5-VL's, which all shards of early versions are in."""
_FORMAT_KEY = b"image_format"


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One Comparison to be written; `encoded` and `segments` are made from `comparison`."""

    comparison: Comparison
    encoded: EncodedComparison
    segments: Segments
    content_key: str

    @property
    def num_bytes(self) -> int:
        """About what it takes in a shard, its images included, in bytes."""
        texts = sum(map(len, self._texts()))
        return 4 * self.encoded.num_tokens + texts + sum(len(image.data) for image in self.encoded.pictures) + 200

    def _texts(self) -> list[str]:
        responses = self.comparison.responses
        texts = [text_of(turn.parts) for turn in self.comparison.prompt] + [one.text for one in responses]
        texts += [one.critique or "" for one in responses if self.encoded.target_starts]
        return texts + [one.text for one in self.comparison.reasonings if self.encoded.reasonings]


class ShardFile(NamedTuple):
    """One of a shard's two files, and the size and hex sha256 that it must have."""

    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What a shard holds, and the size and hex sha256 of its two files: Comparisons and images."""

    name: str
    num_rows: int
    num_images: int
    bytes: int
    sha256: str
    image_bytes: int
    images_sha256: str

    def files(self, folder: str) -> tuple[ShardFile, ShardFile]:
        """Its files in the output folder `folder`: Comparisons and images."""
        comparisons, images = shard_urls(shard_folder(folder), self.name)
        return (
            ShardFile(comparisons, self.bytes, self.sha256),
            ShardFile(images, self.image_bytes, self.images_sha256),
        )


def write_shard(folder: str, name: str, rows: Sequence[ShardRow]) -> tuple[ShardInfo, list[list[int]]]:
    """Write the two files; the same rows give the same bytes.

    Returns:
        What was written, and for each row its still images and frames as rows of the image table.
    """
    images: dict[_Place, EncodedImage] = {}
    for row in rows:
        for image in row.encoded.pictures:
            images.setdefault(_place_of(image), image)
    place = {key: i for i, key in enumerate(images)}
    pictures_of = [[place[_place_of(image)] for image in row.encoded.pictures] for row in rows]
    comparisons = serialise(_comparison_table(rows, pictures_of))
    pictures = serialise(_image_table(list(images.values())))
    comparisons_url, images_url = shard_urls(folder, name)
    storage.write_atomic(comparisons_url, comparisons)
    storage.write_atomic(images_url, pictures)
    info = ShardInfo(
        name=name,
        num_rows=len(rows),
        num_images=len(images),
        bytes=len(comparisons),
        sha256=hashlib.sha256(comparisons).hexdigest(),
        image_bytes=len(pictures),
        images_sha256=hashlib.sha256(pictures).hexdigest(),
    )
    return info, pictures_of


def span_frames(spans: Sequence[VisionSpan]) -> list[int]:
    """For each span, 0 for a still image and n for a video of n frames."""
    return [len(span.frames) if isinstance(span, EncodedVideo) else 0 for span in spans]


def reasoned_lengths(encoded: EncodedComparison) -> list[int]:
    """For each reasoning, its tokens and those of the two answers that it is about."""
    sizes = [len(ids) for ids in encoded.response_ids]
    return [sizes[one.first] + sizes[one.second] + len(one.ids) for one in encoded.reasonings]


def serialise(table: pa.Table) -> bytes:
    """`table` as an Arrow IPC file of one record batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


_CURE = "copy it from where it was made, or run the same preprocess there again, which makes what is missing"


def read_table(url: str, sha256: str | None = None, *, is_proven: bool = False) -> pa.Table:
    """The Arrow file at `url`: memory-mapped where it is local, read whole otherwise.

    Args:
        sha256: what its bytes must hash to; None: not checked.
        is_proven: this process has read it before, whole.

    Raises:
        MissingInput: no such file.
        CorruptData: other bytes than promised, or no Arrow file.
    """
    if not storage.exists(url):
        raise CorruptData(f"{url!r} is missing though its manifest lists it: {_CURE}")
    source = pa.memory_map(url) if storage.is_local(url) else pa.BufferReader(storage.read_bytes(url))
    buffer = source.read_buffer()
    found = hashlib.sha256(memoryview(buffer)).hexdigest() if sha256 is not None else None
    if found != sha256:
        raise CorruptData(
            f"{url!r} has sha256 {found}, its manifest says {sha256}: move this one file aside, and {_CURE}"
        )
    return table_of(buffer, url, is_proven=is_proven)


def table_of(buffer: pa.Buffer, url: str, *, is_proven: bool = False) -> pa.Table:
    """The Arrow file in `buffer`; `url` is for messages.

    Arrow trusts what lies in a file: an offset beyond its data is read from memory that is not the file's, or ends the
    process. So all offsets and texts are looked at, unless `is_proven`. A checksum does not spare that, since whoever
    changes a shard may change the manifest too. For a shard of 16 MB it takes 2 ms, its sha256 11 ms.

    Raises:
        CorruptData: no Arrow file, or one whose parts do not fit each other.
    """
    try:
        table = pa.ipc.open_file(pa.BufferReader(buffer)).read_all()
        if not is_proven:
            table.validate(full=True)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise CorruptData(f"{url!r} is no whole Arrow file ({error}): move this one file aside, and {_CURE}") from error
    return table


_Place = tuple[str, int, int]


def _place_of(image: EncodedImage) -> _Place:
    """One file may be a still image of one size and a frame of another, smaller one."""
    return (image.key, image.height, image.width)


def _comparison_table(rows: Sequence[ShardRow], pictures_of: Sequence[list[int]]) -> pa.Table:
    encoded = [row.encoded for row in rows]
    columns: dict[str, Any] = {
        "id": [one.id for one in encoded],
        "source": [one.source for one in encoded],
        "prompt": [_prompt(row) for row in rows],
        "responses": [_responses(row) for row in rows],
        "prefix_ids": _int_lists([one.prefix_ids for one in encoded]),
        "turn_lengths": [row.segments.lengths for row in rows],
        "turn_images": [row.segments.images for row in rows],
        "response_ids": _nested_int_lists([one.response_ids for one in encoded]),
        "ranks": [one.ranks for one in encoded],
        "images": list(pictures_of),
        "span_frames": [span_frames(one.images) for one in encoded],
        "span_seconds": [[_seconds(span) for span in one.images] for one in encoded],
        "content_key": [row.content_key for row in rows],
    }
    more: list[pa.Field] = []  # without what is written about answers, as earlier versions wrote it
    if any(one.target_starts for one in encoded):
        columns["target_starts"] = [one.target_starts for one in encoded]
        columns["critiques"] = [[response.critique for response in row.comparison.responses] for row in rows]
        more += CRITIQUE_COLUMNS
    if any(one.reasonings for one in encoded):
        said = [row.comparison.reasonings for row in rows]
        columns["reasonings"] = [[asdict(one) for one in of_row] for of_row in said]
        places = [[place for one in of.reasonings for place in (one.first, one.second)] for of in encoded]
        columns["reasoning_pairs"] = places
        columns["reasoning_ids"] = _nested_int_lists([[one.ids for one in of.reasonings] for of in encoded])
        more += REASONING_COLUMNS
    return _table(columns, pa.schema([*COMPARISON_SCHEMA, *more]))


def _image_table(images: Sequence[EncodedImage]) -> pa.Table:
    columns: dict[str, Any] = {
        "sha256": [image.key for image in images],
        "data": [image.data for image in images],
        "height": [image.height for image in images],
        "width": [image.width for image in images],
        "resized": [image.resized for image in images],
    }
    table = _table(columns, IMAGE_SCHEMA)
    [format] = {image.format for image in images} or {QWEN2_5_VL}
    return table if format == QWEN2_5_VL else table.replace_schema_metadata({_FORMAT_KEY: format.name})


def image_format_of(images: pa.Table) -> ImageFormat:
    """The format in which the pictures of a shard's image table were sized.

    Raises:
        CorruptData: none of ours.
    """
    name = (images.schema.metadata or {}).get(_FORMAT_KEY, QWEN2_5_VL.name.encode()).decode()
    if name not in IMAGE_FORMATS:
        raise CorruptData(
            f"a shard has pictures in the format {name!r}, known are {', '.join(IMAGE_FORMATS)}: a newer version of "
            "basereward made it; install that version, or preprocess again"
        )
    return IMAGE_FORMATS[name]


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field, values in ((field, columns[field.name]) for field in schema)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _int_lists(values: Sequence[npt.NDArray[np.int32]]) -> pa.Array:
    """Arrays as one list column, without a Python object a number."""
    flat = np.concatenate(values) if len(values) else np.zeros(0, np.int32)
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, pa.int32()))


def _nested_int_lists(values: Sequence[Sequence[npt.NDArray[np.int32]]]) -> pa.Array:
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), _int_lists([ids for row in values for ids in row]))


def _seconds(span: VisionSpan) -> float:
    return span.seconds_per_step if isinstance(span, EncodedVideo) else 0.0


def _prompt(row: ShardRow) -> list[dict[str, Any]]:
    places = count()
    return [{"role": turn.role, "parts": _parts(turn.parts, places)} for turn in row.comparison.prompt]


def _responses(row: ShardRow) -> list[dict[str, Any]]:
    in_prompt = sum(isinstance(part, ImageSlot) for turn in row.comparison.prompt for part in turn.parts)
    places = count(in_prompt)
    return [
        {"parts": _parts(response.parts, places), "rank": response.rank, "score": response.score}
        for response in row.comparison.responses
    ]


def _parts(parts: Sequence[Part], places: Iterator[int]) -> list[dict[str, Any]]:
    """`places` counts the row's spans, which stand in the order of its slots."""
    return [
        {"text": None, "span": next(places)} if isinstance(part, ImageSlot) else {"text": part, "span": None}
        for part in parts
    ]
