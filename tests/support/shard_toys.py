"""Output folders of hand-made shards, without tokenizer, filters or units."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline import storage
from data_pipeline.dataset.manifest import Counts, FileInfo, Manifest
from data_pipeline.dataset.shards import SCHEMA_VERSION, ShardRow, serialise, span_frames, write_shard
from data_pipeline.dataset.tables import ROWS_SCHEMA
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, Segments
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn

__all__ = ["IMAGES", "row", "write_folder"]

IMAGES = [EncodedImage(f"key{i}", bytes([i]) * (50 + i), 56, 28 * (i + 1), resized=i == 1) for i in range(3)]


def row(
    name: str,
    *,
    spans: tuple[int, ...] = (),
    turns: tuple[int, ...] = (4, 3, 2),
    lengths: tuple[int, ...] = (2, 5),
    scores: tuple[float | None, ...] | None = None,
    text: str = "What?",
) -> ShardRow:
    """A Comparison whose tokens count up from 0, its images all in the first user turn."""
    numbers = iter(range(10_000))

    def ids(count: int) -> np.ndarray:
        return np.array([next(numbers) for _ in range(count)], dtype=np.int32)

    scores = scores or (None,) * len(lengths)
    ranks = tuple(range(len(lengths)))
    used = list(dict.fromkeys(spans))
    comparison = Comparison(
        id=name,
        source="s",
        prompt=(Turn("user", (*(ImageSlot(used.index(i)) for i in spans), text)),),
        responses=tuple(Response((f"answer {k}",), k, scores[k]) for k in ranks),
        media=tuple(MediaRef(data=IMAGES[i].data) for i in used),
    )
    encoded = EncodedComparison(
        id=name, source="s", split="", prefix_ids=ids(sum(turns)), response_ids=tuple(map(ids, lengths)),
        ranks=ranks, scores=scores, images=tuple(IMAGES[i] for i in spans),
    )  # fmt: skip
    segments = Segments(turns, (0, len(spans), *(0,) * (len(turns) - 2)), (0,) * len(lengths))
    return ShardRow(comparison, encoded, segments, f"content-{name}")


def write_folder(folder: str, shards: list[list[ShardRow]], changes: dict[str, dict[str, Any]] | None = None) -> None:
    """An output folder of hand-made shards; `changes` to columns of rows.arrow by id."""
    infos, lines = [], []
    for number, rows in enumerate(shards):
        info, spans = write_shard(storage.join(folder, "shards"), f"s{number}", rows)
        infos.append(info)
        for place, (made, images) in enumerate(zip(rows, spans, strict=True)):
            one = made.encoded
            lines.append({
                "shard": number, "row": place, "id": one.id, "source": "s", "split": "train",
                "prefix_length": len(one.prefix_ids), "response_lengths": [len(ids) for ids in one.response_ids],
                "ranks": list(one.ranks), "image_rows": images, "image_patches": [i.num_patches for i in one.images],
                "span_frames": span_frames(one.images),
                "content_key": made.content_key, "mark": "", "repeats": 1, "dropped_turns": 0,
                **(changes or {}).get(one.id, {}),
            })  # fmt: skip
    files = {"rows.a.arrow": serialise(pa.Table.from_pylist(lines, ROWS_SCHEMA)), "quarantine.a.jsonl": b""}
    for name, data in files.items():
        storage.write_atomic(storage.join(folder, name), data)
    file_infos = [FileInfo(name=name, sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    Manifest(
        schema_version=SCHEMA_VERSION, address="a", code="0", config={}, tokenizer="", inputs=[], counts=Counts(),
        shards=infos, rows_file=file_infos[0], quarantine_file=file_infos[1],
    ).write(folder)  # fmt: skip
