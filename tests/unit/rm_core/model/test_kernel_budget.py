"""Operations that launch a kernel on a GPU, of one decoder layer and one vision block: a small row is bound by them."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import rms_norm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toys import toy_comparison, toy_config, toy_image
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as transformers_own

from rm_core.batches.packed import PackedBatch, collate
from rm_core.model import norms
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model.rotary import Tables, joined, rotate, tables_of
from rm_core.planner.launches import BLOCK, LAYER

_FREE = {"detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view"}


class Launches(TorchDispatchMode):
    """Counts operations that compute; views and allocations do not."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        given = {value.untyped_storage()._cdata for value in tree_leaves(args) if isinstance(value, Tensor)}
        views = [value.untyped_storage()._cdata in given for value in tree_leaves(output) if isinstance(value, Tensor)]
        in_place = func._schema.is_mutable
        name = func.overloadpacket.__name__
        self.count += name not in _FREE and bool(views) and (in_place or not all(views))
        return output


def model_of(layers: int, blocks: int, dtype: torch.dtype) -> tuple[RewardModel, PackedBatch]:
    """A model of so many layers and blocks, and a row for it."""
    config = toy_config()
    config.text_config.num_hidden_layers = layers
    config.text_config.layer_types = ["full_attention"] * layers
    config.vision_config.depth = blocks
    model = RewardModel(new_backbone(config, seed=0, dtype=dtype), HeadConfig())
    items = [toy_comparison(0, images=(toy_image(1),), ranks=(0,))]  # attention of one call
    return model, collate(items, row_format=model.row_format)


def launches(layers: int, blocks: int) -> tuple[int, int]:
    """(forward, backward) of one row in bf16 through so many layers and blocks."""
    model, batch = model_of(layers, blocks, torch.bfloat16)
    model(batch).sum().backward()  # gradients of the weights are there from now on
    with Launches() as forward:
        loss = model(batch).sum()
    with Launches() as backward:
        loss.backward()
    return forward.count, backward.count


def test_launches_of_a_layer_and_a_block_stay_in_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower these numbers with the code; what raises them makes small rows slower on a GPU.

    As on a GPU: one operation stands for PyTorch's fused norm, and three for its gradients. Transformers' own modules
    took (40, 93) a layer and (40, 85) a block.
    """
    monkeypatch.setattr(norms, "STEP_BY_STEP", set())
    monkeypatch.setattr(norms, "rms_norm", lambda hidden, _shape, weight, _epsilon: hidden * weight)
    base, layer, block = launches(2, 2), launches(3, 2), launches(2, 3)
    found = {"layer": tuple(b - a for a, b in zip(base, layer, strict=True))}
    found["block"] = tuple(b - a for a, b in zip(base, block, strict=True))
    assert found == {"layer": (20, 55), "block": (16, 46)}
    assert found == {"layer": LAYER[:2], "block": BLOCK[:2]}, "the planner counts with these"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rotation_is_that_of_transformers(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    angles = torch.rand(7, 4, generator=random).repeat(1, 2)
    cosine, sine = angles.cos(), angles.sin()
    query = torch.randn(7, 2, 3, 8, generator=random).to(dtype).requires_grad_()
    tables = Tables(*(table[:, None] for table in tables_of(cosine, sine)))
    ours = rotate(query, tables)
    theirs = torch.stack(transformers_own.apply_rotary_pos_emb_vision(*query.unbind(1), cosine, sine), dim=1)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    gradients = [torch.autograd.grad(turned.float().square().sum(), query)[0] for turned in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 0.05)


def test_three_tables_are_joined_as_transformers_joins_them() -> None:
    """As older versions of it leave them to their layers."""
    tables = torch.arange(3.0 * 16).view(3, 1, 1, 16)
    expected = torch.cat([tables[place % 3, ..., a:b] for place, (a, b) in enumerate(
        ((0, 1), (1, 3), (3, 8), (8, 9), (9, 11), (11, 16)))], dim=-1)  # fmt: skip
    assert torch.equal(joined(tables, [1, 2, 5]), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_norms_change_no_more_than_a_rounding(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU runs them, in PyTorch's own steps."""
    model, batch = model_of(2, 2, dtype)

    def found() -> dict[str, Tensor]:
        model.zero_grad()
        rewards = model(batch)
        rewards.sum().backward()
        weights = model.named_parameters()
        return {name: value.grad.clone() for name, value in weights if value.grad is not None} | {"": rewards.detach()}

    plain = found()
    calls: list[int] = []
    monkeypatch.setattr(norms, "rms_norm", lambda *given: calls.append(1) or rms_norm(*given))
    monkeypatch.setattr(norms, "STEP_BY_STEP", set())
    fused = found()
    assert len(calls) == 2 * 2 + 1 + 2 * 2 + 1, "of layers, the final one, of blocks, the merger's"
    if dtype == torch.float32:
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)
    else:
        torch.testing.assert_close(fused[""], plain[""], rtol=0.05, atol=0.05)
