"""One model for both sides of `benchmarks.gpu_step`, made on its device, and an optimiser that leaves room beside it.

The padded side runs the very modules of the packed one, called by Transformers' own forward pass: the weights of a 3B
model with its optimiser fill three quarters of a GPU of 80 GB, so there is no second copy.
"""

import gc
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu_step.cases import SPECIAL_IDS
from rm_core.batches.tensors import map_tensors
from rm_core.batches.vision_indices import vision_indices_of
from rm_core.model.attention import ATTENTION_NAME, KERNELS
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model.running import Running
from rm_core.model.shape_config import backbone_config

__all__ = ["MasterAdamW", "cast_backbone", "free", "new_model", "transformers_way", "use_kernel"]

_GROUP_BYTES = 1 << 30
"""Float32 gradients that exist at once while the optimiser steps."""


def new_model(
    shape: str, *, vocabulary: int, device: torch.device, dtype: torch.dtype, layers: int | None = None
) -> RewardModel:
    """A reward model of random weights, made on `device` as the product makes one: no copy of it is ever elsewhere.

    Args:
        layers: keep only so many decoder layers and vision blocks.
    """
    config = backbone_config(shape, vocab_size=vocabulary, special_ids=SPECIAL_IDS)
    if layers is not None:
        config.text_config.num_hidden_layers = layers
        config.text_config.layer_types = config.text_config.layer_types[:layers]
        config.vision_config.depth = layers
        config.vision_config.fullatt_block_indexes = [layers - 1]
    with device:
        model = RewardModel(new_backbone(config, seed=0, dtype=dtype, device=device), HeadConfig())
    model.head.initialise(0)
    free(device)  # of the float32 numbers that each weight was drawn as
    return model.train()


def use_kernel(model: RewardModel, name: str, device: torch.device) -> None:
    """Attention by the kernel called `name`.

    Raises:
        RecipeError: this machine cannot run it.
    """
    if device.type == "cuda":
        model.use_attention(name)
    else:
        # FlexAttention trains on GPUs only; without gradients PyTorch computes it anywhere, slowly: for checks.
        model._kernel = KERNELS[name]


@contextmanager
def transformers_way(model: RewardModel, *, recompute: bool = False, fast_tower: bool = False) -> Iterator[Any]:
    """The backbone as Transformers runs it: sdpa, 2-D masks. The backward pass belongs into the block too.

    Args:
        recompute: all layers' activations are recomputed in the backward pass.
        fast_tower: the vision tower runs our way, with all windows of one length in one call, so that the rest is what
            packing and sharing save.
    """
    backbone: Any = model.backbone
    backbone.set_attn_implementation({"text_config": "sdpa"})
    if recompute:
        _checkpointing(backbone, on=True)
    if fast_tower:
        backbone.visual.forward = _our_tower(model, recompute)
    try:
        yield backbone
    finally:
        backbone.set_attn_implementation({"text_config": ATTENTION_NAME})
        _checkpointing(backbone, on=False)
        backbone.visual.__dict__.pop("forward", None)


def _checkpointing(backbone: Any, *, on: bool) -> None:
    with warnings.catch_warnings():
        # Transformers renames both in version 6; those before 5.20 know only these names.
        warnings.simplefilter("ignore", FutureWarning)
        if on:
            backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            backbone.gradient_checkpointing_disable()


def _our_tower(model: RewardModel, recompute: bool) -> Any:
    mode = "full" if recompute else "none"

    def forward(hidden_states: Tensor, grid_thw: Tensor, **_unused: Any) -> SimpleNamespace:
        grids = [tuple(grid) for grid in grid_thw.tolist()]
        indices = vision_indices_of(grids, model.row_format.window)
        on_device = map_tensors(indices, lambda value: value.to(hidden_states.device))
        batch: Any = SimpleNamespace(pixel_values=hidden_states, vision=on_device)
        (features,) = model.family.image_features(
            model.backbone, batch, hidden_states.dtype, running=Running(recompute=mode), work=model.work
        )
        return SimpleNamespace(pooler_output=features)

    return forward


def cast_backbone(model: RewardModel, dtype: torch.dtype) -> None:
    """The backbone's weights in `dtype`, one after the other; buffers (rotary frequencies) stay as they are."""
    for parameter in model.backbone.parameters():
        parameter.data = parameter.data.to(dtype)
        parameter.grad = None


def free(device: torch.device) -> None:
    """Give back what nothing refers to any more, and start a new peak."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


class MasterAdamW:
    """AdamW on float32 copies of 16-bit weights: 12 bytes a weight beside the 2 of itself and the 2 of its gradient.

    Float32 gradients exist for a group of weights at a time. DeepSpeed's ZeRO on one rank computes the same and would
    keep them all, which is more than a 3B model leaves of 80 GB.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, learning_rate: float = 1e-6) -> None:
        self._groups: list[tuple[list[nn.Parameter], list[nn.Parameter], torch.optim.AdamW]] = []
        for group in _groups_of(parameters):
            masters = [nn.Parameter(weight.detach().to(torch.float32, copy=True)) for weight in group]
            fused = group[0].is_cuda
            self._groups.append((group, masters, torch.optim.AdamW(masters, lr=learning_rate, fused=fused)))

    @torch.no_grad()
    def step(self) -> float:
        """Clip to norm 1, update, drop the gradients; returns the norm before clipping."""
        weights = [weight for group, *_ in self._groups for weight in group]
        norm = nn.utils.clip_grad_norm_(weights, 1.0)
        for group, masters, optimizer in self._groups:
            for weight, master in zip(group, masters, strict=True):
                master.grad = None if weight.grad is None else weight.grad.float()
                weight.grad = None
            optimizer.step()
            optimizer.zero_grad()
            torch._foreach_copy_(list(group), list(masters))
        return float(norm)


def _groups_of(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    groups: list[list[nn.Parameter]] = [[]]
    room = _GROUP_BYTES
    for parameter in parameters:
        size = 4 * parameter.numel()
        if groups[-1] and size > room:
            groups.append([])
            room = _GROUP_BYTES
        groups[-1].append(parameter)
        room -= size
    return groups
