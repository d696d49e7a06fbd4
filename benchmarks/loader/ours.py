"""Our side: shards of our writer read by `PreparedData`, and the same files read with bare pyarrow as the limit."""

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.loader.samples import Sample, samples
from benchmarks.loader.side import run
from data_pipeline import storage
from data_pipeline.dataset.layout import shard_urls
from data_pipeline.dataset.manifest import Counts, FileInfo, Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import (
    SCHEMA_VERSION,
    ShardInfo,
    ShardRow,
    read_table,
    serialise,
    write_shard,
)
from data_pipeline.dataset.tables import ROWS_SCHEMA
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, Segments
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from rm_core.packing.order import shuffled_places

ROWS_PER_SHARD = 256
"""The default of preprocessing."""
SIDE = 448


class Ours:
    """`PreparedData.encoded` in the shuffled order of a plan."""

    def __init__(self) -> None:
        # pyarrow.compute imports pandas at its first call, where that is installed; imports are not in the times.
        pc.equal(pa.array([""]), "")

    def write(self, folder: str, count: int) -> None:
        infos: list[ShardInfo] = []
        lines: list[dict[str, Any]] = []
        rows: list[ShardRow] = []
        for number, sample in enumerate(samples(count)):
            rows.append(shard_row(sample))
            if len(rows) == ROWS_PER_SHARD or number + 1 == count:
                info, _ = write_shard(storage.join(folder, "shards"), f"s{len(infos)}", rows)
                lines += [line_of(len(infos), place, row) for place, row in enumerate(rows)]
                infos.append(info)
                rows = []
        write_manifest(folder, infos, lines)

    def epochs(self, folder: str, resume: bool) -> Iterator[Iterator[EncodedComparison]]:
        data = PreparedData.open(folder)
        size, epoch = len(data), 0
        while True:
            stream = np.arange(epoch * size + (size // 2 if resume and epoch == 0 else 0), (epoch + 1) * size)
            yield map(data.encoded, shuffled_places(stream, size=size, seed=0).tolist())
            epoch += 1

    def leave(self, folder: str) -> None:
        """Nothing: the place in the stream is the whole state."""

    def sample(self, record: EncodedComparison) -> Sample:
        return Sample(record.id, record.images[0].data, record.prefix_ids, *record.response_ids)


class BareArrow(Ours):
    """The same files, memory-mapped and read by row with pyarrow alone: image bytes and ids as NumPy arrays."""

    def epochs(self, folder: str, resume: bool) -> Iterator[Iterator[Any]]:  # noqa: ARG002  # any place is one access
        manifest = Manifest.read(folder)
        shards = [
            tuple(read_table(url) for url in shard_urls(storage.join(folder, "shards"), info.name))
            for info in manifest.shards
        ]
        places = [(shard, row) for shard, info in enumerate(manifest.shards) for row in range(info.num_rows)]
        random = np.random.default_rng(0)
        while True:
            yield (self._record(shards, *places[index]) for index in random.permutation(len(places)).tolist())

    def _record(self, shards: list[tuple[pa.Table, ...]], shard: int, row: int) -> tuple[Any, ...]:
        comparisons, images = shards[shard]
        ids = comparisons["response_ids"][row]
        image = images["data"][comparisons["images"][row][0].as_py()].as_py()
        prefix = comparisons["prefix_ids"][row].values.to_numpy()
        return comparisons["id"][row].as_py(), image, prefix, ids[0].values.to_numpy(), ids[1].values.to_numpy()

    def sample(self, record: Any) -> Sample:
        return Sample(*record)


def shard_row(sample: Sample) -> ShardRow:
    """The sample as preprocessing would write it."""
    image = EncodedImage(sample.id, sample.image, SIDE, SIDE)
    comparison = Comparison(
        id=sample.id,
        source="synthetic",
        prompt=(Turn("user", (ImageSlot(0), "What is to be seen? " * 5)),),
        responses=(Response(("This is. " * 60,), 0), Response(("That is. " * 60,), 1)),
        media=(MediaRef(data=sample.image),),
    )
    encoded = EncodedComparison(
        sample.id, "synthetic", "", sample.prefix, (sample.first, sample.second), (0, 1), (None, None), (image,)
    )
    return ShardRow(comparison, encoded, Segments((20, len(sample.prefix) - 23, 3), (0, 1, 0), (0, 0)), sample.id)


def line_of(shard: int, place: int, row: ShardRow) -> dict[str, Any]:
    """The row's line of rows.arrow."""
    one = row.encoded
    return {
        "shard": shard, "row": place, "id": one.id, "source": one.source, "split": "train",
        "prefix_length": len(one.prefix_ids), "response_lengths": [len(ids) for ids in one.response_ids],
        "ranks": [0, 1], "image_rows": [place], "image_patches": [one.images[0].num_patches],
        "span_frames": [0],
        "content_key": one.id, "mark": "", "repeats": 1, "dropped_turns": 0,
    }  # fmt: skip


def write_manifest(folder: str, infos: list[ShardInfo], lines: list[dict[str, Any]]) -> None:
    """Make the folder one that `PreparedData` opens."""
    files = {"rows.arrow": serialise(pa.Table.from_pylist(lines, ROWS_SCHEMA)), "quarantine.jsonl": b""}
    for name, data in files.items():
        storage.write_atomic(storage.join(folder, name), data)
    rows, quarantine = (FileInfo(name=name, sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items())
    Manifest(
        schema_version=SCHEMA_VERSION, address="benchmark", code="", config={}, tokenizer="", inputs=[],
        counts=Counts(kept=len(lines)), shards=infos, rows_file=rows, quarantine_file=quarantine,
    ).write(folder)  # fmt: skip


if __name__ == "__main__":
    run({"ours": Ours(), "arrow": BareArrow()}[sys.argv.pop(1)])
