"""Both sides: one step (forward and backward over some Comparisons) the packed way and the way of K padded rows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Qwen2_5_VLModel

from benchmarks.packed_row_cases import IMAGE_TOKEN, ROW_FORMAT, SPECIAL_IDS, VOCABULARY, micro_batches, planning_table
from data_pipeline.encode import EncodedComparison
from rm_core.batches.packed import collate
from rm_core.batches.pixels import patches_of
from rm_core.batches.plan import PackBudget, pack_first_fit
from rm_core.batches.sizes import num_ordered_pairs
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead
from rm_core.model.reward_model import RewardModel
from rm_core.model.shapes import backbone_config
from rm_core.objectives.pairwise import bradley_terry

BUDGET = PackBudget(tokens=4096, patches=8192)
"""What one of our packed rows may hold: about as many tokens as a padded micro-batch of the reference."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Forward and backward over all Comparisons of a case, on one side."""

    prepare_s: float
    """Comparisons to tensors: decoding, patches, padding or packing."""
    compute_s: float
    """Forward and backward."""
    cpu_s: float
    """CPU seconds of this process for both: steadier than wall seconds where other processes are at work."""
    rewards: Tensor
    """float32 [Comparisons * K], on the CPU, in the order of the Comparisons."""
    gradient_norm: float


class Reference(nn.Module):
    """Transformers' own model with a reward head; its weights bear the names of a `RewardModel`'s."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        config = backbone_config(shape, vocab_size=VOCABULARY, special_ids=SPECIAL_IDS)
        config._attn_implementation = "sdpa"
        self.backbone = Qwen2_5_VLModel(config)
        self.head = RewardHead(self.backbone.language_model.config.hidden_size, HeadConfig())

    def forward(self, inputs: dict[str, Tensor], last: Tensor) -> Tensor:
        """Rewards [rows]; `last` is the place of each row's last token."""
        hidden: Tensor = self.backbone(**inputs, use_cache=False).last_hidden_state
        rewards: Tensor = self.head(hidden[torch.arange(len(last), device=last.device), last])
        return rewards


@dataclass(frozen=True)
class Sides:
    """Both sides as functions of the Comparisons."""

    packed: Callable[[Sequence[EncodedComparison]], Step]
    reference: Callable[[Sequence[EncodedComparison]], Step]


def make_sides(shape: str, device: torch.device, dtype: torch.dtype) -> Sides:
    """Two models of the same weights; heads stay in float32."""
    config = backbone_config(shape, vocab_size=VOCABULARY, special_ids=SPECIAL_IDS)
    packed = RewardModel(new_backbone(config, seed=0, dtype=dtype), HeadConfig())
    packed.head.initialise(0)
    reference = Reference(shape)
    nn.Module.to(reference.backbone, dtype)
    reference.load_state_dict(packed.state_dict())
    packed.to(device).train()
    reference.to(device).train()
    return Sides(lambda items: run_packed(packed, items, device), lambda items: run_reference(reference, items, device))


def run_packed(model: RewardModel, comparisons: Sequence[EncodedComparison], device: torch.device) -> Step:
    """Our side: first-fit packs under `BUDGET`, one forward and backward a pack."""
    model.zero_grad()
    start_s, start_cpu_s = _now(device), time.process_time()
    packs = [pack.rows for pack in pack_first_fit(range(len(comparisons)), planning_table(comparisons), BUDGET)]
    batches = [collate([comparisons[row] for row in rows], row_format=ROW_FORMAT).to(device) for rows in packs]
    ready_s = _now(device)
    num_pairs = sum(batch.labels.pairs.shape[1] for batch in batches)
    rewards_of: dict[int, Tensor] = {}
    for rows, batch in zip(packs, batches, strict=True):
        rewards = model(batch)
        torch.autograd.backward(bradley_terry(rewards, batch.labels.pairs).sum / num_pairs)
        rewards_of |= zip(rows, rewards.detach().split(batch.num_responses), strict=True)
    done_s, cpu_s = _now(device), time.process_time() - start_cpu_s
    ordered = torch.cat([rewards_of[row] for row in range(len(comparisons))]).cpu()
    return Step(
        prepare_s=ready_s - start_s,
        compute_s=done_s - ready_s,
        cpu_s=cpu_s,
        rewards=ordered,
        gradient_norm=_gradient_norm(model),
    )


def run_reference(model: Reference, comparisons: Sequence[EncodedComparison], device: torch.device) -> Step:
    """The other side: K padded rows a Comparison, one forward and backward a micro-batch."""
    model.zero_grad()
    start_s, start_cpu_s = _now(device), time.process_time()
    groups = micro_batches(comparisons)
    batches = [_padded(group, device) for group in groups]
    ready_s = _now(device)
    num_pairs = sum(num_ordered_pairs(list(item.ranks)) for item in comparisons)
    found = []
    for group, (inputs, last) in zip(groups, batches, strict=True):
        rewards = model(inputs, last)
        torch.autograd.backward(bradley_terry(rewards, _pairs(group, device)).sum / num_pairs)
        found.append(rewards.detach())
    done_s, cpu_s = _now(device), time.process_time() - start_cpu_s
    return Step(
        prepare_s=ready_s - start_s,
        compute_s=done_s - ready_s,
        cpu_s=cpu_s,
        rewards=torch.cat(found).cpu(),
        gradient_norm=_gradient_norm(model),
    )


def _padded(group: Sequence[EncodedComparison], device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs of Transformers' model, and the place of each row's last token.

    In the reference's favour an image is decoded once, and only its patches are repeated for every response.
    """
    rows = [np.concatenate([item.prefix_ids, ids]) for item in group for ids in item.response_ids]
    lengths = torch.tensor([len(row) for row in rows])
    input_ids = nn.utils.rnn.pad_sequence([torch.from_numpy(row).long() for row in rows], batch_first=True)
    inputs = {
        "input_ids": input_ids,
        "attention_mask": (torch.arange(input_ids.shape[1]) < lengths[:, None]).long(),
    }
    patches, grids = [], []
    for item in group:
        for image in item.images:
            patches += [torch.from_numpy(patches_of(image))] * len(item.response_ids)
            grids += [image.grid] * len(item.response_ids)
    if patches:
        inputs["pixel_values"] = torch.cat(patches)
        inputs["image_grid_thw"] = torch.tensor(grids)
        inputs["mm_token_type_ids"] = (input_ids == IMAGE_TOKEN).int()
    return {name: value.to(device) for name, value in inputs.items()}, (lengths - 1).to(device)


def _pairs(group: Sequence[EncodedComparison], device: torch.device) -> Tensor:
    """(better, worse) as indices into the rows of the micro-batch: int64 [2, N]."""
    found, start = [], 0
    for item in group:
        places = range(len(item.ranks))
        found += [(start + i, start + j) for i in places for j in places if item.ranks[i] < item.ranks[j]]
        start += len(item.ranks)
    return torch.tensor(found, device=device).T


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _gradient_norm(model: nn.Module) -> float:
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return float(nn.utils.get_total_norm(gradients))
