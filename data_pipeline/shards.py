"""Arrow shards: one file of Comparisons and one of their images, an image stored once a shard.

Arrow IPC file format, uncompressed, so that a local shard is memory-mapped and a row costs no parsing. Images are the
original files' bytes: resizing happens when a batch is made.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_pipeline import storage
from data_pipeline.comparison import Comparison, ImageSlot, Part
from data_pipeline.encode import EncodedComparison, EncodedImage
from data_pipeline.errors import CorruptData

__all__ = [
    "COMPARISON_SCHEMA",
    "IMAGE_SCHEMA",
    "SCHEMA_VERSION",
    "ShardInfo",
    "ShardRow",
    "read_table",
    "serialise",
    "shard_urls",
    "write_shard",
]

SCHEMA_VERSION = 1

_PARTS = pa.list_(pa.struct([("text", pa.string()), ("image", pa.int32())]))
COMPARISON_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("parts", _PARTS)]))),
        ("responses", pa.list_(pa.struct([("parts", _PARTS), ("rank", pa.int32()), ("score", pa.float64())]))),
        ("prefix_ids", pa.list_(pa.int32())),
        ("response_ids", pa.list_(pa.list_(pa.int32()))),
        ("ranks", pa.list_(pa.int32())),
        ("images", pa.list_(pa.int32())),
        ("content_key", pa.string()),
    ]
)
"""A part is a text or a row of the shard's image table; `images` are such rows in the order of the image spans."""
IMAGE_SCHEMA = pa.schema(
    [("sha256", pa.string()), ("data", pa.large_binary()), ("height", pa.int32()), ("width", pa.int32())]
)
"""`data` is the original file; height and width are those after resizing, in pixels."""


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One Comparison to be written; `encoded` is made from `comparison`."""

    comparison: Comparison
    encoded: EncodedComparison
    content_key: str


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """What a shard holds. `bytes` counts both files; the checksums are hex sha256."""

    name: str
    num_rows: int
    num_images: int
    bytes: int
    sha256: str
    images_sha256: str


def shard_urls(folder: str, name: str) -> tuple[str, str]:
    """The two files of shard `name`: Comparisons and images."""
    return storage.join(folder, f"{name}.arrow"), storage.join(folder, f"{name}.images.arrow")


def write_shard(folder: str, name: str, rows: Sequence[ShardRow]) -> tuple[ShardInfo, list[list[int]]]:
    """Write the two files; the same rows give the same bytes.

    Returns:
        What was written, and for each row its image spans as rows of the image table.
    """
    images: dict[str, EncodedImage] = {}
    for row in rows:
        for image in row.encoded.images:
            images.setdefault(image.key, image)
    place = {key: i for i, key in enumerate(images)}
    spans = [[place[image.key] for image in row.encoded.images] for row in rows]
    comparisons = serialise(
        pa.Table.from_pylist([_as_row(row, span) for row, span in zip(rows, spans, strict=True)], COMPARISON_SCHEMA)
    )
    pictures = serialise(
        pa.Table.from_pylist(
            [{"sha256": i.key, "data": i.data, "height": i.height, "width": i.width} for i in images.values()],
            IMAGE_SCHEMA,
        )
    )
    comparisons_url, images_url = shard_urls(folder, name)
    storage.write_atomic(comparisons_url, comparisons)
    storage.write_atomic(images_url, pictures)
    info = ShardInfo(
        name=name,
        num_rows=len(rows),
        num_images=len(images),
        bytes=len(comparisons) + len(pictures),
        sha256=hashlib.sha256(comparisons).hexdigest(),
        images_sha256=hashlib.sha256(pictures).hexdigest(),
    )
    return info, spans


def serialise(table: pa.Table) -> bytes:
    """`table` as an Arrow IPC file of one record batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def read_table(url: str, sha256: str | None = None) -> pa.Table:
    """The Arrow file at `url`: memory-mapped where it is local, read whole otherwise.

    Args:
        sha256: what its bytes must hash to; None: not checked.

    Raises:
        MissingInput: no such file.
        CorruptData: other bytes than promised, or no Arrow file.
    """
    if not storage.exists(url):
        raise CorruptData(
            f"{url!r} is missing though its manifest lists it: delete the output folder and preprocess again"
        )
    source = pa.memory_map(url) if storage.is_local(url) else pa.BufferReader(storage.read_bytes(url))
    buffer = source.read_buffer()
    found = hashlib.sha256(memoryview(buffer)).hexdigest() if sha256 is not None else None
    if found != sha256:
        raise CorruptData(
            f"{url!r} has sha256 {found}, its manifest says {sha256}: delete the output folder and preprocess again"
        )
    try:
        return pa.ipc.open_file(pa.BufferReader(buffer)).read_all()
    except pa.ArrowInvalid as error:
        raise CorruptData(f"{url!r} is no whole Arrow file: {error}; preprocess again") from error


def _as_row(row: ShardRow, spans: list[int]) -> dict[str, Any]:
    slots = row.comparison.image_slots()
    place = dict(zip(slots, spans, strict=True))
    return {
        "id": row.encoded.id,
        "source": row.encoded.source,
        "split": row.encoded.split,
        "prompt": [{"role": turn.role, "parts": _parts(turn.parts, place)} for turn in row.comparison.prompt],
        "responses": [
            {"parts": _parts(response.parts, place), "rank": response.rank, "score": response.score}
            for response in row.comparison.responses
        ],
        "prefix_ids": row.encoded.prefix_ids,
        "response_ids": list(row.encoded.response_ids),
        "ranks": list(row.encoded.ranks),
        "images": spans,
        "content_key": row.content_key,
    }


def _parts(parts: Sequence[Part], place: dict[int, int]) -> list[dict[str, Any]]:
    return [
        {"text": None, "image": place[part.index]} if isinstance(part, ImageSlot) else {"text": part, "image": None}
        for part in parts
    ]
