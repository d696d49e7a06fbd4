"""Activations that are made again: the same gradients for every family, and no product or attention runs twice."""

from collections import Counter
from typing import Any

import pytest
import torch
from separate_rows import gradients
from torch._inductor import config as inductor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
from toys import row_for, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import PackedBatch
from rm_core.model import padded_linear
from rm_core.model.attention import WorkDone, flex
from rm_core.model.families import FAMILIES
from rm_core.model.reward_model import RewardModel
from rm_core.model.running import KEPT_OPERATORS, RECOMPUTE, _policy


class Ran(TorchDispatchMode):
    """Counts operators by their names; how often tensors are detached is PyTorch's affair."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition(".")[0]
        self.counts[name] += name != "aten::detach"
        return func(*args, **(kwargs or {}))

    @property
    def dear(self) -> int:
        """Of those that `selective` keeps."""
        return sum(count for name, count in self.counts.items() if name in KEPT_OPERATORS)


def model_and_row(model_type: str) -> tuple[RewardModel, PackedBatch]:
    model = toy_reward_model(model_type=model_type).train()
    images = (toy_image(1), toy_image(2, 84, 140)) if model.family.has_vision else ()
    return model, row_for(model, [toy_comparison(0, images=images), toy_comparison(1)])


@pytest.mark.parametrize("model_type", FAMILIES)
def test_whatever_is_made_again_changes_no_gradient(model_type: str) -> None:
    model, row = model_and_row(model_type)
    kept = gradients(model, model(row).sum())
    for recompute in ("selective", "full"):
        model.recompute_activations(recompute)
        again = gradients(model, model(row).sum())
        torch.testing.assert_close(again, kept, rtol=1e-6, atol=1e-6)
    patches = len(row.pixel_values) if model.family.has_vision else 0
    assert model.work.take() == WorkDone(3 * row.num_tokens, 3 * patches, "sdpa")


@pytest.mark.parametrize("model_type", ["qwen2_5_vl", "qwen2_vl"])
@pytest.mark.parametrize("padded", [False, True])
def test_what_is_dear_runs_once_unless_all_is_made_again(
    model_type: str, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in an MLP that computes with a padded width."""
    if padded:
        monkeypatch.setitem(padded_linear.MULTIPLES, "cpu", 128)
    model, row = model_and_row(model_type)
    forward, backward = {}, {}
    for recompute in RECOMPUTE:
        model.recompute_activations(recompute)
        with Ran() as forward[recompute]:
            loss = model(row).sum()
        with Ran() as backward[recompute]:
            loss.backward()
    assert forward["none"].counts == forward["selective"].counts == forward["full"].counts
    assert backward["selective"].dear == backward["none"].dear < backward["full"].dear
    rotations = {recompute: backward[recompute].counts["aten::roll"] for recompute in RECOMPUTE}
    again = forward["none"].counts["aten::roll"]
    assert rotations["selective"] == rotations["full"] == rotations["none"] + again > again


def test_nothing_is_made_again_while_a_model_only_scores() -> None:
    model, row = model_and_row("qwen2_5_vl")
    model.recompute_activations("full")
    with Ran() as plain:
        model.eval()(row).sum().backward()
    model.zero_grad()
    model.recompute_activations("none")
    with Ran() as expected:
        model(row).sum().backward()
    assert plain.counts == expected.counts


def test_kernels_of_gpus_are_among_what_is_kept() -> None:
    """By the names that this PyTorch gives them; none of them can run here."""
    from torch._higher_order_ops import flex_attention, inductor_compiled_code

    operators: list[Any] = [flex_attention, inductor_compiled_code, torch.ops.torch_attn._varlen_attn.default]
    operators += [getattr(torch.ops.aten, name.removeprefix("aten::")) for name in KEPT_OPERATORS if "aten" in name]
    names = {one.name() if hasattr(one, "name") else one._qualified_op_name for one in operators}
    assert names == KEPT_OPERATORS - {"flash_attn::_flash_attn_varlen_forward"}  # of a package that is not installed


@pytest.mark.drill
def test_a_compiled_kernel_is_kept_as_one_operator() -> None:
    """With FlexAttention's own options; on a CPU it has no backward pass, so another function stands for it."""
    assert hasattr(inductor, "wrap_inductor_compiled_regions") and flex._OPTIONS
    function = torch.compile(lambda x: torch.softmax(x @ x.T, -1) @ x, dynamic=True, options=flex._OPTIONS)
    with Ran() as ran:
        value = torch.randn(6, 4, requires_grad=True)
        made: Any = checkpoint(
            lambda x: function(x * 2).sin(), value, use_reentrant=False,
            context_fn=lambda: create_selective_checkpoint_contexts(_policy),
        )  # fmt: skip
        forward = ran.counts["aten::mm"]
        made.sum().backward()
    plain = torch.softmax(4 * value @ value.T, -1) @ (2 * value)
    (expected,) = torch.autograd.grad(plain.sin().sum(), value)
    torch.testing.assert_close(value.grad, expected)
    assert ran.counts["aten::mul"] > 0 and forward == 2, "the products of the forward pass"
    assert ran.counts["aten::mm"] - forward == 4, "and of the backward pass: none again"
