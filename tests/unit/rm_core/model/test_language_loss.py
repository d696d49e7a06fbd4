"""Liger's kernel in place of chunks: called where it can run, with the same numbers, and refused where it is wrong.

A stand-in takes the place of the package, which needs a GPU.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from toys import row_for, toy_comparison, toy_reward_model, with_targets

from data_pipeline.errors import RecipeError
from rm_core.model import language_loss
from rm_core.model.language_head import LanguageHead
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig, ZeroConfig

CPU = torch.device("cpu")
Fused = Callable[..., Tensor]


class EarlyLiger(torch.autograd.Function):
    """As versions before 0.8.2: all gradients have the weight of the first token."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
        with torch.enable_grad():
            read, table = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
            costs = functional.cross_entropy(read @ table.T, ids, reduction="none")
            ctx.save_for_backward(*torch.autograd.grad(costs.sum(), (read, table)))
        return costs.detach()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        read, table = ctx.saved_tensors
        return read * upstream[0], table * upstream[0], None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fused], list[int]]:
    """Puts a function in Liger's place, where any device counts as a GPU; gives the tokens of each of its calls."""

    def install(fused: Fused) -> list[int]:
        calls: list[int] = []

        def liger_fused_linear_cross_entropy(hidden: Tensor, weight: Tensor, ids: Tensor, *, reduction: str) -> Tensor:
            assert reduction == "none"
            calls.append(len(ids))
            return fused(hidden, weight, ids)

        module = ModuleType("liger_kernel.transformers.functional")
        module.liger_fused_linear_cross_entropy = liger_fused_linear_cross_entropy  # type: ignore[attr-defined]
        for name in ("liger_kernel", "liger_kernel.transformers"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(language_loss, "_runs_on", lambda _: True)
        return calls

    return install


def right(hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    return functional.cross_entropy(hidden @ weight.T, ids, reduction="none")


def solved(head: LanguageHead, hidden: Tensor, ids: Tensor) -> Sequence[Tensor | None]:
    read = hidden.clone().requires_grad_()
    head.weight.grad = None
    costs = head(read, ids)
    (costs * torch.arange(1.0, len(costs) + 1)).sum().backward()
    return costs.detach(), read.grad, head.weight.grad


@pytest.mark.parametrize("which", ["liger", "auto"])
def test_liger_is_called_and_gives_the_same_numbers(installed: Callable[[Fused], list[int]], which: str) -> None:
    calls = installed(right)
    numbers = torch.Generator().manual_seed(0)
    head = LanguageHead(torch.nn.Parameter(torch.randn(50, 8, generator=numbers)))
    hidden, ids = torch.randn(9, 8, generator=numbers), torch.randint(0, 50, (9,), generator=numbers)
    chunked = solved(head, hidden, ids)
    assert not calls, "nothing is fused that was not asked for"
    head.use_loss(which)
    assert calls == [4], "a small problem first"
    for one, other in zip(solved(head, hidden, ids), chunked, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert calls == [4, 9]
    empty = solved(head, hidden[:0], ids[:0])
    assert calls == [4, 9] and empty[2] is not None, "a row without targets has a gradient, and needs no kernel"
    head.use_loss("chunked")
    solved(head, hidden, ids)
    assert calls == [4, 9]


def test_a_whole_model_has_the_same_costs(installed: Callable[[Fused], list[int]]) -> None:
    calls = installed(right)
    model = toy_reward_model(writes="tied")
    batch = row_for(model, [with_targets(toy_comparison(0, ranks=(0, 1)))])
    chunked = model(batch).costs
    model.use_language_loss("liger")
    torch.testing.assert_close(model(batch).costs, chunked, rtol=1e-5, atol=1e-5)
    assert calls == [4, len(chunked)]
    toy_reward_model().use_language_loss("auto")  # no language head: nothing to choose


def test_wrong_gradients_are_refused_and_auto_does_without(installed: Callable[[Fused], list[int]]) -> None:
    early: Any = EarlyLiger.apply
    calls = installed(early)
    with pytest.raises(RecipeError, match=r"liger-kernel .* gives wrong gradients of tokens .*: upgrade it; or set"):
        language_loss.fused_costs("liger", CPU)
    assert language_loss.fused_costs("auto", CPU) is None and calls == [4, 4]


def test_where_it_can_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert language_loss.fused_costs("auto", CPU) is None and language_loss.fused_costs("chunked", CPU) is None
    with pytest.raises(RecipeError, match=r"liger cannot run here: it needs a GPU, and the model is on the device cpu"):
        language_loss.fused_costs("liger", CPU)
    with pytest.raises(RecipeError, match=r"language_loss='fast' is unknown; choose one of auto, chunked, liger"):
        language_loss.fused_costs("fast", CPU)
    monkeypatch.setattr(language_loss, "_runs_on", lambda _: True)
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(RecipeError, match=r"Liger-Kernel is not installed .*pip install 'basereward\[liger\]'"):
        language_loss.fused_costs("liger", CPU)
    assert language_loss.fused_costs("auto", CPU) is None


def test_recipes_that_could_not_use_it_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"language_loss=chunked is read where .*train\.paradigm=scalar does neither"):
        check_train_config(TrainConfig(language_loss="chunked"))
    critic = TrainConfig(language_loss="liger", paradigm="critic")
    check_train_config(critic)
    with pytest.raises(RecipeError, match=r"gathered weights of the head, which train\.zero\.stage=3 shards"):
        check_train_config(replace(critic, zero=ZeroConfig(stage=3)))
