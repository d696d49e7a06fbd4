"""Rows of both sides of `benchmarks.gpu_step`, and the clock: tensors are on the device before it starts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.padded_rows import PaddedModel, bradley_terry_sum, micro_batches, ordered_pairs, padded
from benchmarks.gpu_step.cases import SPECIAL_IDS, noise
from benchmarks.gpu_step.models import MasterAdamW, transformers_way
from benchmarks.train_step.sides import packed_places
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.packed import PackedBatch, collate
from rm_core.model.flops import Flops, peak_flops
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.packing.first_fit import PackBudget

__all__ = ["Packed", "Padded", "Timed", "separate_rewards", "timed"]


@dataclass(kw_only=True)
class Packed:
    """Our rows of some Comparisons.

    Args:
        token_budget: tokens of one row.
    """

    model: RewardModel
    comparisons: Sequence[EncodedComparison]
    token_budget: int
    device: torch.device
    optimizer: MasterAdamW | None = None
    rows: list[PackedBatch] = field(init=False)

    def __post_init__(self) -> None:
        budget = PackBudget(tokens=self.token_budget, patches=4 * self.token_budget)
        self._objective = Objective(ObjectiveConfig())
        row_format = self.model.row_format
        self.rows = []
        for row in packed_places(self.comparisons, budget):
            items = [self.comparisons[place] for place in row]
            batch = collate(items, row_format=row_format, load_image=noise)
            self.rows.append(batch.to(self.device))

    @property
    def num_rows(self) -> int:
        """Forward passes of a step."""
        return len(self.rows)

    def step(self) -> float | None:
        """Forward and backward of every row, and the optimiser where there is one: then the gradient norm."""
        num_pairs = sum(row.labels.num_pairs for row in self.rows)
        for row in self.rows:
            judged = self._objective(self.model(row), row.labels)
            torch.autograd.backward(judged.terms["rank"].sum / num_pairs)
        return _finish(self.model, self.optimizer)


@dataclass(kw_only=True)
class Padded:
    """The same Comparisons as K padded rows each, in micro-batches of 4.

    Args:
        recompute: all layers' activations are recomputed.
        fast_tower: see `transformers_way`.
    """

    model: RewardModel
    comparisons: Sequence[EncodedComparison]
    device: torch.device
    recompute: bool
    fast_tower: bool
    optimizer: MasterAdamW | None = None

    def __post_init__(self) -> None:
        self._groups = micro_batches(self.comparisons)
        self._inputs = [_padded_on(self.device, group, self.model.backbone.dtype) for group in self._groups]

    @property
    def num_rows(self) -> int:
        """Forward passes of a step."""
        return len(self._groups)

    def step(self) -> float | None:
        """Forward and backward of every micro-batch, and the optimiser where there is one: then the gradient norm."""
        num_pairs = sum(len(ordered_pairs(item)) for item in self.comparisons)
        with transformers_way(self.model, recompute=self.recompute, fast_tower=self.fast_tower) as backbone:
            whole = PaddedModel(backbone, self.model.head)
            for group, (inputs, last) in zip(self._groups, self._inputs, strict=True):
                rewards = whole(inputs, last).split([len(item.response_ids) for item in group])
                torch.autograd.backward(bradley_terry_sum(group, rewards) / num_pairs)
        return _finish(self.model, self.optimizer)


@torch.no_grad()
def separate_rewards(model: RewardModel, item: EncodedComparison, device: torch.device) -> Tensor:
    """Rewards [K] as Transformers' own forward pass gives them, each response in a row of its own, without padding."""
    found = []
    for ids in item.response_ids:
        alone = EncodedComparison(
            item.id, item.source, item.split, item.prefix_ids, (ids,), (0,), (None,), item.images
        )  # fmt: skip
        inputs, last = _padded_on(device, [alone], model.backbone.dtype)
        with transformers_way(model) as backbone:
            found.append(PaddedModel(backbone, model.head)(inputs, last))
    return torch.cat(found)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Speed of one side; FLOPs are the model's own on the packed way, whatever a side really computes.

    Attributes:
        s: seconds a step, the median.
        rows: forward passes a step; two ways to recompute are compared at equal rows only.
        all_s: of each step.
        tokens_per_s: tokens of Comparisons, each prompt counted once, on either side.
        mfu: share of the device's peak; None where that is not known.
        peak_gb: the most GPU memory held at once; None on CPUs.
    """

    s: float
    rows: int
    all_s: list[float]
    tokens_per_s: float
    mfu: float | None
    peak_gb: float | None

    def figures(self, name: str) -> dict[str, Any]:
        """By name: NAME_s, NAME_tokens_per_s, ..."""
        values = {"s": self.s, "rows": self.rows, "all_s": self.all_s, "tokens_per_s": self.tokens_per_s}
        values |= {"mfu": self.mfu, "peak_gb": self.peak_gb}
        return {f"{name}_{key}": value for key, value in values.items() if value is not None}


def timed(
    run: Packed | Padded, comparisons: Sequence[EncodedComparison], model: RewardModel, device: torch.device, *,
    repetitions: int,
) -> Timed:  # fmt: skip
    """One step of warm-up, then `repetitions` with the device idle before and after each."""
    run.step()
    seconds = []
    for _ in range(repetitions):
        start_s = _now(device)
        run.step()
        seconds.append(_now(device) - start_s)
    flops = Flops.of(model.backbone.config)
    needed = 3 * sum(
        flops.forward(len(item.prefix_ids), [len(ids) for ids in item.response_ids], [one.grid for one in item.images])
        for item in comparisons
    )
    on_gpu = device.type == "cuda"
    peak = peak_flops(torch.cuda.get_device_name(device), model.backbone.dtype) if on_gpu else None
    return Timed(
        s=median(seconds),
        rows=run.num_rows,
        all_s=seconds,
        tokens_per_s=sum(item.num_tokens for item in comparisons) / median(seconds),
        mfu=None if peak is None else needed / median(seconds) / peak,
        peak_gb=torch.cuda.max_memory_allocated(device) / 1e9 if on_gpu else None,
    )


def _padded_on(
    device: torch.device, group: Sequence[EncodedComparison], dtype: torch.dtype
) -> tuple[dict[str, Tensor], Tensor]:
    inputs, last = padded(group, SPECIAL_IDS["<|image_pad|>"], noise)
    if "pixel_values" in inputs:
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    return {name: value.to(device) for name, value in inputs.items()}, last.to(device)


def _finish(model: RewardModel, optimizer: MasterAdamW | None) -> float | None:
    if optimizer is not None:
        return optimizer.step()
    model.zero_grad()
    return None


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
