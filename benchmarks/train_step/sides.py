"""The sides of `benchmarks.train_step`: optimiser steps over Comparisons, the packed way and the way of K padded rows.

    Ours        packs under a token budget -> collate -> RewardModel -> Objective -> backward; AdamW
    Reference   K full sequences a Comparison, padded on the right in micro-batches, the image encoded for each of them,
                Transformers' own Qwen2_5_VLModel with sdpa and a 2-D mask -> Bradley-Terry -> backward; AdamW

Both begin with the same weights and count the preparation of tensors (decoding, patches, packing or padding).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Qwen2_5_VLModel

from benchmarks.common.padded_rows import PaddedModel, bradley_terry_sum, micro_batches, ordered_pairs, padded
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.packed import collate
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.packing.first_fit import PackBudget, pack_steps

__all__ = ["ModelSize", "Ours", "Reference", "Side", "Step", "packed_places"]

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """A random-weight model by its size's name and the tokenizer's numbers."""

    shape: str
    vocabulary: int
    special_ids: dict[str, int]

    def config(self) -> Any:
        """The Transformers config."""
        return backbone_config(self.shape, vocab_size=self.vocabulary, special_ids=self.special_ids)

    def reward_model(self) -> RewardModel:
        """Our model, float32, with the same weights every time."""
        model = RewardModel(new_backbone(self.config(), seed=0, dtype=torch.float32), HeadConfig())
        model.head.initialise(0)
        return model


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step.

    Attributes:
        prepare_s: Comparisons to tensors.
        compute_s: forward, backward, clipping and the optimiser.
        cpu_s: CPU seconds of the process for both: steadier than wall seconds where other processes are at work.
        rewards: by Comparison, those of a group one after the other, before the step: float32 [K] each.
        gradient_norm: before clipping.
    """

    prepare_s: float
    compute_s: float
    cpu_s: float
    rewards: list[Tensor]
    gradient_norm: float


class Side(Protocol):
    """One way to train."""

    def step(self, comparisons: Sequence[EncodedComparison]) -> Step:
        """One optimiser step over Comparisons."""


class Ours:
    """Packed rows under a token budget, prompt and image once a Comparison."""

    def __init__(self, size: ModelSize, token_budget: int) -> None:
        self.model = size.reward_model().train()
        # Four patches make an image token: patches never decide.
        self._budget = PackBudget(tokens=token_budget, patches=4 * token_budget)
        self._objective = Objective(ObjectiveConfig())
        self._optimizer = _adamw(self.model)

    def step(self, comparisons: Sequence[EncodedComparison]) -> Step:
        """One optimiser step over Comparisons, in as few rows as fit them."""
        clock = _Clock()
        rows = packed_places(comparisons, self._budget)
        row_format = self.model.row_format
        batches = [collate([comparisons[place] for place in row], row_format=row_format) for row in rows]
        clock.prepared()
        num_pairs = sum(batch.labels.num_pairs for batch in batches)
        rewards: dict[int, Tensor] = {}
        for row, batch in zip(rows, batches, strict=True):
            output = self.model(batch)
            torch.autograd.backward(self._objective(output, batch.labels).terms["rank"].sum / num_pairs)
            rewards |= zip(row, output.detach().split(batch.num_responses), strict=True)
        norm = _update(self.model, self._optimizer)
        judged = [rewards[place][[*one.responses]] for place, item in enumerate(comparisons) for one in item.judged]
        return clock.step(judged, norm)


class Reference:
    """K padded rows a Comparison."""

    def __init__(self, size: ModelSize) -> None:
        config = size.config()
        config._attn_implementation = "sdpa"
        head = RewardHead(config.text_config.hidden_size, HeadConfig())
        self.model = PaddedModel(Qwen2_5_VLModel(config), head)
        self.model.load_state_dict(size.reward_model().state_dict())
        self.model.train()
        self._image_token = size.special_ids["<|image_pad|>"]
        self._optimizer = _adamw(self.model)

    def step(self, comparisons: Sequence[EncodedComparison]) -> Step:
        """One optimiser step over Comparisons, `MICRO_BATCH` of them at a time in the order given."""
        clock = _Clock()
        groups = micro_batches(comparisons)
        batches = [padded(group, self._image_token) for group in groups]
        clock.prepared()
        num_pairs = sum(len(ordered_pairs(item)) for item in comparisons)
        found: list[Tensor] = []
        for group, (inputs, last) in zip(groups, batches, strict=True):
            rewards = self.model(inputs, last).split([len(item.response_ids) for item in group])
            torch.autograd.backward(bradley_terry_sum(group, rewards) / num_pairs)
            found += [part.detach() for part in rewards]
        return clock.step(found, _update(self.model, self._optimizer))


def packed_places(comparisons: Sequence[EncodedComparison], budget: PackBudget) -> list[list[int]]:
    """Which Comparisons stand together in a row, as places in `comparisons`."""
    tokens = np.array([[item.num_tokens for item in comparisons]], dtype=np.int64)
    patches = np.array([[sum(image.num_patches for image in item.images) for item in comparisons]], dtype=np.int64)
    packs = pack_steps(tokens, patches, budget)
    return [part.tolist() for part in np.split(packs.members, packs.pack_start[1:-1])]


def _adamw(model: nn.Module) -> torch.optim.AdamW:
    # The fused form is what Transformers' Trainer takes by default; the plain one is 2 s of a step on two CPU cores.
    return torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)


def _update(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    norm = nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return float(norm)


class _Clock:
    """Times of one step, from its making on."""

    def __init__(self) -> None:
        self._start_s, self._start_cpu_s = time.perf_counter(), time.process_time()
        self._prepared_s = self._start_s

    def prepared(self) -> None:
        self._prepared_s = time.perf_counter()

    def step(self, rewards: list[Tensor], gradient_norm: float) -> Step:
        return Step(
            prepare_s=self._prepared_s - self._start_s,
            compute_s=time.perf_counter() - self._prepared_s,
            cpu_s=time.process_time() - self._start_cpu_s,
            rewards=rewards,
            gradient_norm=gradient_norm,
        )
