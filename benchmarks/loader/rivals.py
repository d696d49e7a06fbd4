"""mosaicml-streaming and litdata on the same samples, each in its own format. Runs in an environment that has them."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.loader.samples import Sample, sample, samples
from benchmarks.loader.side import run

BATCH = 8
"""Records a batch of the torch DataLoader, where there are workers."""


class Mosaic:
    """mosaicml-streaming: MDS shards, `StreamingDataset(shuffle=True)`."""

    def __init__(self, num_workers: int) -> None:
        import streaming  # before anything is timed

        self._streaming = streaming
        self._num_workers = num_workers

    def write(self, folder: str, count: int) -> None:
        columns = {"id": "str", "image": "bytes"} | dict.fromkeys(("prefix", "first", "second"), "ndarray:int32")
        with self._streaming.MDSWriter(out=folder, columns=columns) as writer:
            for one in samples(count):
                writer.write(vars(one))

    def epochs(self, folder: str, resume: bool) -> Iterator[Iterator[Any]]:
        self._data = self._streaming.StreamingDataset(local=folder, shuffle=True, batch_size=BATCH, shuffle_seed=0)
        if resume:
            with open(state_file(folder), encoding="utf8") as file:
                self._data.load_state_dict(json.load(file))
        while True:
            yield iter(self._data) if not self._num_workers else flat(self._data, self._num_workers)

    def leave(self, folder: str) -> None:
        if not self._num_workers:
            half = self._data.num_samples // 2
            keep_state(folder, self._data.state_dict(half, from_beginning=True))

    def sample(self, record: Any) -> Sample:
        return Sample(**record)


class LitData:
    """litdata: chunks of 64 MB, `StreamingDataset(shuffle=True)`."""

    def __init__(self, num_workers: int) -> None:
        import litdata  # before anything is timed

        self._litdata = litdata
        self._num_workers = num_workers

    def write(self, folder: str, count: int) -> None:
        self._litdata.optimize(as_dict, list(range(count)), folder, chunk_bytes="64MB", num_workers=1, verbose=False)

    def epochs(self, folder: str, resume: bool) -> Iterator[Iterator[Any]]:
        self._data = self._litdata.StreamingDataset(folder, shuffle=True, seed=0)
        if resume:
            with open(state_file(folder), encoding="utf8") as file:
                self._data.load_state_dict(json.load(file))
        loader = None
        if self._num_workers:
            loader = self._litdata.StreamingDataLoader(
                self._data, batch_size=BATCH, num_workers=self._num_workers, collate_fn=owned
            )
        while True:
            yield (one for one in self._data) if loader is None else (one for batch in loader for one in batch)

    def leave(self, folder: str) -> None:
        if not self._num_workers:
            keep_state(folder, self._data.state_dict(len(self._data) // 2, num_workers=1, batch_size=1))

    def sample(self, record: Any) -> Sample:
        image = bytes(record["image"])  # litdata gives a view
        ids = {name: np.asarray(record[name], dtype=np.int32) for name in ("prefix", "first", "second")}
        return Sample(id=record["id"], image=image, **ids)


def as_dict(index: int) -> dict[str, Any]:
    """For litdata, which makes samples in processes of its own."""
    return vars(sample(index))


def owned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A batch that a worker of litdata can send: its views cannot be pickled."""
    return [{**record, "image": bytes(record["image"])} for record in records]


def flat(data: Any, num_workers: int) -> Iterator[Any]:
    """Records through worker processes."""
    from torch.utils.data import DataLoader

    loader = DataLoader(data, batch_size=BATCH, num_workers=num_workers, collate_fn=list)
    return (record for batch in loader for record in batch)


def state_file(folder: str) -> str:
    """Where the state at the middle of an epoch is kept, beside the data."""
    return f"{folder.rstrip(os.sep)}.state.json"


def keep_state(folder: str, state: dict[str, Any]) -> None:
    """For `resume`."""
    with open(state_file(folder), "w", encoding="utf8") as file:
        json.dump(state, file)


if __name__ == "__main__":
    name, _, workers = sys.argv.pop(1).partition("-")
    run({"streaming": Mosaic, "litdata": LitData}[name](int(workers or 0)))
