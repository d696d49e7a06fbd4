"""Finished preprocessing output as a sequence of Comparisons: planning columns at once, content by row on demand."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.comparison import Comparison, ImageSlot, MediaRef, Part, Response, Turn
from data_pipeline.encode import EncodedComparison, EncodedImage
from data_pipeline.manifest import Manifest
from data_pipeline.shards import read_table, shard_urls
from data_pipeline.units import shard_folder

__all__ = ["PreparedData"]

_OPEN_SHARDS = 128  # each holds two memory maps


class PreparedData:
    """The kept Comparisons of an output folder, in the order of the plan.

    Opens shards when they are first read and checks their sha256 then. Pickles as its folder.

        >>> data = PreparedData.open("runs/demo/shards")  # doctest: +SKIP
        >>> data.encoded(int(data.split_indices("train")[0])).num_tokens  # doctest: +SKIP
        218

    Attributes:
        folder: the output folder.
        manifest: its manifest.
        rows: one row a Comparison, in `ROWS_SCHEMA`: all that planning needs.
    """

    def __init__(self, folder: str, manifest: Manifest, rows: pa.Table) -> None:
        self.folder = folder
        self.manifest = manifest
        self.rows = rows
        self._shard: npt.NDArray[np.int32] = rows["shard"].to_numpy()
        self._row: npt.NDArray[np.int32] = rows["row"].to_numpy()
        self._tables = lru_cache(maxsize=_OPEN_SHARDS)(self._open_shard)

    @classmethod
    def open(cls, folder: str) -> "PreparedData":
        """Open a finished folder.

        Raises:
            MissingInput: it has no manifest: preprocessing has not finished there.
            CorruptData: the planning rows are not those of the manifest.
        """
        manifest = Manifest.read(folder)
        rows = read_table(storage.join(folder, manifest.rows_file.name), manifest.rows_file.sha256)
        return cls(folder, manifest, rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (PreparedData.open, (self.folder,))

    def split_indices(self, split: str) -> npt.NDArray[np.int64]:
        """Indices of the Comparisons of "train" or "heldout", ascending: int64 [N]."""
        return np.flatnonzero(pc.equal(self.rows["split"], split).to_numpy()).astype(np.int64)

    def encoded(self, index: int) -> EncodedComparison:
        """Comparison `index` as tokens, with its images' original bytes.

        Raises:
            CorruptData: its shard is not the one that was written.
        """
        row, images = self._read(index)
        return EncodedComparison(
            id=row["id"].as_py(),
            source=row["source"].as_py(),
            split=row["split"].as_py(),
            prefix_ids=row["prefix_ids"].values.to_numpy(),
            response_ids=tuple(ids.values.to_numpy() for ids in row["response_ids"]),
            ranks=tuple(row["ranks"].as_py()),
            scores=tuple(response["score"] for response in row["responses"].as_py()),
            images=tuple(_image_at(images, place) for place in row["images"].as_py()),
        )

    def comparison(self, index: int) -> Comparison:
        """Comparison `index` as texts and image bytes, for reports.

        Raises:
            CorruptData: its shard is not the one that was written.
        """
        row, images = self._read(index)
        used = list(dict.fromkeys(row["images"].as_py()))
        slot_of = {place: slot for slot, place in enumerate(used)}
        return Comparison(
            id=row["id"].as_py(),
            source=row["source"].as_py(),
            prompt=tuple(Turn(turn["role"], _parts(turn["parts"], slot_of)) for turn in row["prompt"].as_py()),
            responses=tuple(
                Response(_parts(response["parts"], slot_of), response["rank"], response["score"])
                for response in row["responses"].as_py()
            ),
            media=tuple(MediaRef(data=_image_at(images, place).data) for place in used),
            split=row["split"].as_py(),
        )

    def verify(self) -> None:
        """Read every shard against its checksum.

        Raises:
            CorruptData: the first one that differs.
        """
        for shard in range(len(self.manifest.shards)):
            self._tables(shard)

    def _read(self, index: int) -> tuple[dict[str, pa.Scalar], pa.Table]:
        if not 0 <= index < len(self):
            raise IndexError(f"Comparison {index} of {len(self)}")
        comparisons, images = self._tables(int(self._shard[index]))
        place = int(self._row[index])
        return {name: comparisons[name][place] for name in comparisons.column_names}, images

    def _open_shard(self, shard: int) -> tuple[pa.Table, pa.Table]:
        info = self.manifest.shards[shard]
        comparisons, images = shard_urls(shard_folder(self.folder), info.name)
        return read_table(comparisons, info.sha256), read_table(images, info.images_sha256)


def _image_at(images: pa.Table, place: int) -> EncodedImage:
    return EncodedImage(
        key=images["sha256"][place].as_py(),
        data=images["data"][place].as_py(),
        height=images["height"][place].as_py(),
        width=images["width"][place].as_py(),
    )


def _parts(parts: list[dict[str, Any]], slot_of: dict[int, int]) -> tuple[Part, ...]:
    return tuple(part["text"] if part["image"] is None else ImageSlot(slot_of[part["image"]]) for part in parts)
