"""Toy data that worker processes can import quickly: Comparisons in memory, some of which go wrong."""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

from toys import ROW_FORMAT

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import CorruptData
from rm_core.batches.decoding import Decoder
from rm_core.packing.row_sizes import CostModel
from rm_core.packing.sizes import PlanningTable


class ToyComparisons:
    """Comparisons in memory; it remembers which were announced.

    Args:
        broken_image: index whose image does not decode.
        corrupt: index whose shard is damaged.
        deadly: index that kills its process.
    """

    def __init__(
        self, items: Sequence[EncodedComparison], *, broken_image: int = -1, corrupt: int = -1, deadly: int = -1
    ) -> None:
        self.items = list(items)
        self.corrupt, self.deadly = corrupt, deadly
        self.announced: list[int] = []
        if broken_image >= 0:
            item = self.items[broken_image]
            cut = replace(item.images[0], key="cut", data=item.images[0].data[:60])
            self.items[broken_image] = replace(item, images=(cut,))

    def encoded(self, index: int) -> EncodedComparison:
        if index == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if index == self.corrupt:
            raise CorruptData(f"the shard of {self.items[index].id} has other bytes")
        return self.items[index]

    def prefetch(self, indices: Sequence[int]) -> None:
        self.announced += [int(index) for index in indices]

    def table(self) -> PlanningTable:
        cost_model = CostModel(token=1.0, response=0.0, attention_pair=0.1, patch=0.25)
        return PlanningTable.from_comparisons(self.items, cost_model)


def hold_a_loader_open(data: ToyComparisons, write_pids: str) -> None:
    """For a process of its own: start a worker, write its process id, and wait to be killed."""
    with Decoder(data, row_format=ROW_FORMAT, num_workers=1) as decoder:
        decoder.submit([0, 1]).result()
        pids = " ".join(str(child.pid) for child in multiprocessing.active_children())
        with open(f"{write_pids}.part", "w", encoding="utf8") as file:
            file.write(pids)
        os.replace(f"{write_pids}.part", write_pids)
        time.sleep(600)
