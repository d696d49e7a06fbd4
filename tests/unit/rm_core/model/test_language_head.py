"""Logits at target tokens alone, in chunks: equal to logits of whole rows, made one response at a time."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from separate_rows import assert_equal_gradients, gradients, separate_costs, separate_rewards
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from toys import VOCABULARY, prepared_for, row_for, toy_comparison, toy_image, toy_reward_model, with_targets

from rm_core.batches.packed import collate
from rm_core.model import language_head
from rm_core.model.language_head import LanguageHead, chunk_tokens

ITEMS = [
    with_targets(toy_comparison(0, images=(toy_image(0),), ranks=(0, 1))),
    with_targets(toy_comparison(1, ranks=(1, 0, 2), response_text=30), part=0.8),
    toy_comparison(2),
    with_targets(toy_comparison(3, ranks=(0, 1), response_images=(toy_image(2), toy_image(3))), part=0.2),
    with_targets(toy_comparison(4), part=1.0),
]
"""One of them without targets, one whose responses are targets from their first token on."""


@pytest.mark.parametrize(
    ("model_type", "writes"), [("qwen2_5_vl", "own"), ("qwen2_5_vl", "tied"), ("qwen3_vl", "own"), ("qwen3", "tied")]
)
def test_rewards_costs_and_gradients_equal_separate_rows(model_type: str, writes: str) -> None:
    model = toy_reward_model(model_type=model_type, writes=writes)
    items = ITEMS if model.family.has_vision else [ITEMS[1], ITEMS[2], ITEMS[4]]
    batch = row_for(model, items)
    rewards, costs = model(batch)
    shown = [prepared_for(model.row_format.images, item) for item in items]
    weights = torch.randn(len(rewards) + len(costs), generator=torch.Generator().manual_seed(0))
    found = gradients(model, (torch.cat([rewards, costs]) * weights).sum())
    separate = torch.cat([separate_rewards(model, item) for item in shown])
    expected = torch.cat([cost for item in shown if item.target_starts for cost in separate_costs(model, item)])
    torch.testing.assert_close(rewards, separate, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(costs, expected, rtol=1e-5, atol=1e-5)
    touch = sum((value.sum() * 0.0 for value in model.parameters()), torch.zeros(()))
    assert_equal_gradients(found, gradients(model, (torch.cat([separate, expected]) * weights).sum() + touch))


def test_chunks_change_neither_costs_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(50, 8, generator=generator)
    hidden, ids = torch.randn(33, 8, generator=generator), torch.randint(0, 50, (33,), generator=generator)
    found = []
    for size in (1 << 28, 7 * 4 * 50):
        monkeypatch.setattr(language_head, "LOGIT_BYTES", size)
        head, states = LanguageHead(torch.nn.Parameter(table.clone())), hidden.clone().requires_grad_()
        costs = head(states, ids)
        costs.square().sum().backward()
        found.append((costs.detach(), states.grad, head.weight.grad))
    plain = functional.cross_entropy(hidden @ table.T, ids, reduction="none")
    torch.testing.assert_close(found[0][0], plain, rtol=1e-5, atol=1e-5)
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-5)


class _Largest(TorchDispatchMode):
    """The most rows of logits whose softmax is taken."""

    rows = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if "softmax" in str(function):
            assert found.shape[1] == VOCABULARY
            self.rows = max(self.rows, len(found))
        return found


def test_logits_of_a_whole_row_are_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_head, "LOGIT_BYTES", 4 * 4 * VOCABULARY)
    assert chunk_tokens(VOCABULARY) == 4 and chunk_tokens(10**9) == 1
    model = toy_reward_model(writes="own")
    with _Largest() as largest:
        output = model(row_for(model, ITEMS))
        (output.rewards.sum() + output.costs.sum()).backward()
    assert 0 < largest.rows <= 4 < len(output.costs)


def test_a_row_without_targets_gives_the_language_head_a_gradient_of_zero() -> None:
    model = toy_reward_model(writes="own")
    for items in ([], [ITEMS[2]]):
        output = model(row_for(model, items))
        assert output.costs.shape == (0,)
        found = gradients(model, output.rewards.sum() + output.costs.sum())
        assert not found["lm_head.weight"].any()


def test_a_model_that_does_not_write_refuses_targets() -> None:
    model = toy_reward_model()
    assert collate(ITEMS[:1], row_format=model.row_format).targets is None
    with pytest.raises(ValueError, match=r"'toy-0'.* names targets, and the model has no language head"):
        model(collate(ITEMS[:1], row_format=replace(model.row_format, targets=True)))
