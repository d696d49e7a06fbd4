"""A grouped Comparison against its records as separate ones: equal losses, counts and gradients."""

from collections.abc import Sequence

import pytest
import torch
from grouped_toys import grouped_toy, records_of_a_prompt
from objective_forms import VARIANTS, config_id
from separate_rows import assert_equal_gradients, gradients
from torch import Tensor
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.labels import labels_of
from rm_core.batches.packed import collate
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.packing.row_sizes import CostModel
from rm_core.packing.sizes import PlanningTable, StepCounts

IMAGE, OTHERS = toy_image(1), (toy_image(2), toy_image(3, 28, 84))
RECORDS = [
    *records_of_a_prompt(1, images=(IMAGE,)),
    toy_comparison(5, ranks=(1, 0)),
    *records_of_a_prompt(2, images=(IMAGE,), response_images=OTHERS),
]
GROUPED = [
    grouped_toy(RECORDS[:5], num_images=1),
    RECORDS[5],
    grouped_toy(RECORDS[6:], num_images=1, num_response_images=2),
]
PLACES = [0, 1, 1, 0, 1, 2, 0, 2, 3, 2, 3, 0, 1]  # of the judged responses of one group
OF_RECORDS = [*PLACES, 4, 5, *(6 + place for place in PLACES)]
COST = CostModel(token=1.0, response=0.0, attention_pair=0.0)


@pytest.mark.parametrize(
    ("config", "uncertain"), VARIANTS, ids=[config_id(config) + ("+variance" * both) for config, both in VARIANTS]
)
def test_an_objective_sees_the_separate_comparisons(config: ObjectiveConfig, uncertain: bool) -> None:
    shape = (8, 2) if uncertain else (8,)
    output = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    scored = [item for item in GROUPED if item is not RECORDS[5]], [item for item in RECORDS if item is not RECORDS[5]]
    of_records = [place - 2 * (place > 5) for place in OF_RECORDS if place not in (4, 5)]
    mean, objective = torch.tensor(0.3), Objective(config)
    ours = objective(output, labels_of(scored[0]), step_mean=mean)
    theirs = objective(output[of_records], labels_of(scored[1]), step_mean=mean)
    for name, term in theirs.terms.items():
        assert (ours.terms[name].unit, ours.terms[name].count) == (term.unit, term.count)
        torch.testing.assert_close(ours.terms[name].sum, term.sum, rtol=1e-6, atol=1e-6)
    assert int(ours.num_correct) == int(theirs.num_correct)
    gradient, expected = (
        torch.autograd.grad(sum(term.sum for term in one.terms.values()), output)[0] for one in (ours, theirs)
    )
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-5)


def step_loss(model: RewardModel, rows: Sequence[Sequence[EncodedComparison]], config: ObjectiveConfig) -> Tensor:
    """The loss of one step, divided by what its plan counts."""
    table = PlanningTable.from_comparisons([item for row in rows for item in row], COST)
    counts = StepCounts(*table.counts(torch.arange(len(table)).numpy()[None])[0].tolist())
    total = torch.zeros(())
    for row in rows:
        batch = collate(row, row_format=ROW_FORMAT)
        for term in Objective(config)(model(batch), batch.labels).terms.values():
            total = total + term.sum / getattr(counts, term.unit)
    return total


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (ObjectiveConfig(zero_coefficient=0.1, l2_coefficient=0.1, length_normalisation=True), "last"),
        (ObjectiveConfig(name="rao_kupper", weighting="comparison"), "mean"),
    ],
    ids=["regularised", "ties"],
)
def test_loss_and_gradients_of_a_model_equal_those_of_separate_comparisons(
    config: ObjectiveConfig, pooling: str
) -> None:
    model = toy_reward_model(head=HeadConfig(pooling=pooling))
    ours = step_loss(model, [GROUPED[:2], GROUPED[2:]], config)
    our_gradients = gradients(model, ours)
    theirs = step_loss(model, [RECORDS[:4], RECORDS[4:]], config)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert_equal_gradients(our_gradients, gradients(model, theirs))


def test_a_group_is_computed_once_and_counts_as_its_records() -> None:
    ours, theirs = (PlanningTable.from_comparisons(items, COST) for items in (GROUPED, RECORDS))
    both = [table.counts(torch.arange(len(table)).numpy()[None])[0].tolist() for table in (ours, theirs)]
    counted = [StepCounts(*values) for values in both]
    assert counted[0].comparisons == counted[1].comparisons == 11
    assert both[0][:4] == both[1][:4]
    assert counted[0].tokens == sum(item.num_tokens for item in GROUPED) < counted[1].tokens / 2
    batch = collate(GROUPED, row_format=ROW_FORMAT)
    assert batch.num_responses == (4, 2, 4) and len(batch.reward_index) == batch.labels.num_outputs == 10
    assert batch.labels.num_responses == counted[0].responses and batch.labels.num_pairs == counted[0].pairs
    assert batch.num_distinct_patches == sum(image.num_patches for image in (IMAGE, *OTHERS))
    assert ours.where(torch.tensor([True, False, True]).numpy()).counts(torch.tensor([[0, 1]]).numpy())[0, 0] == 10
