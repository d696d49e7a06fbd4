"""From prepared data to gradients: a step of groups against the step of the same records apart."""

from dataclasses import replace

import pytest
import torch
from grouped_toys import PAIRS, PROMPTS, pairs_of_prompts
from separate_rows import assert_equal_gradients, gradients

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.pipeline import prepare
from rm_core.batches.loader import PackLoader
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.packing.epoch import training_view
from rm_core.planner.workload import workload_of_data
from rm_core.train_config.config import TrainConfig
from rm_core.training.data_plan import make_plan, shown_more_often
from rm_core.training.export import fixture_row


@pytest.fixture(scope="module")
def preprocess(tmp_path_factory: pytest.TempPathFactory) -> PreprocessConfig:
    return pairs_of_prompts(tmp_path_factory.mktemp("grouped"))


@pytest.fixture(scope="module")
def model(preprocess: PreprocessConfig) -> RewardModel:
    tokenizer = load_tokenizer(preprocess.tokenizer)
    config = backbone_config("tiny", vocab_size=tokenizer.vocab_size, special_ids=tokenizer.special_ids)
    config.save_pretrained(preprocess.tokenizer)
    made = RewardModel(new_backbone(config, seed=0, dtype=torch.float32), HeadConfig())
    made.head.initialise(0)
    return made


def opened(preprocess: PreprocessConfig, *, grouped: bool) -> PreparedData:
    config = replace(preprocess, group_prompts=grouped)
    prepare(config)
    return PreparedData.open(config.output)


def test_a_step_of_groups_equals_the_step_of_their_records(preprocess: PreprocessConfig, model: RewardModel) -> None:
    config = TrainConfig(model=preprocess.tokenizer, global_batch=PROMPTS * len(PAIRS), global_batch_unit="pairs")
    found, sizes = [], []
    for grouped in (False, True):
        data = opened(preprocess, grouped=grouped)
        table, plan = make_plan(config, data)
        assert plan.num_steps == 1 and not shown_more_often(config, plan)
        loader = PackLoader(
            training_view(data), table, plan, rank=0, world_size=1, row_format=model.row_format, prefetch=1
        )
        objective, loss, tokens = Objective(ObjectiveConfig(l2_coefficient=0.1)), torch.zeros(()), 0
        for step, rows in loader.steps(0):
            counts = step.plan.counts
            for batch in rows:
                tokens += batch.num_tokens
                for term in objective(model(batch), batch.labels).terms.values():
                    loss = loss + term.sum / getattr(counts, term.unit)
        assert tokens == counts.tokens
        found.append((loss.detach(), gradients(model, loss)))
        sizes.append((len(table), counts))
    (loss_apart, gradients_apart), (loss, own_gradients) = found
    torch.testing.assert_close(loss, loss_apart, rtol=1e-5, atol=1e-5)
    assert_equal_gradients(own_gradients, gradients_apart)
    (entries_apart, apart), (entries, counts) = sizes
    assert (entries_apart, entries) == (PROMPTS * len(PAIRS), PROMPTS)
    assert (counts.comparisons, counts.pairs, counts.responses) == (apart.comparisons, apart.pairs, apart.responses)
    assert counts.tokens < apart.tokens / 2 and counts.patches == apart.patches / len(PAIRS)


def test_plan_and_fixture_read_groups(preprocess: PreprocessConfig, model: RewardModel) -> None:
    data = opened(preprocess, grouped=True)
    table, _ = make_plan(TrainConfig(model=preprocess.tokenizer, global_batch=1), data)
    row = fixture_row(training_view(data), table, model)
    assert row.labels.shared is None and len(model(row)) == row.labels.num_responses
    whole = workload_of_data(data, model.backbone.config)
    shares = workload_of_data(data, model.backbone.config, "pairs")
    assert (whole.comparisons, shares.comparisons) == (PROMPTS, PROMPTS * len(PAIRS))
    assert shares.tokens * shares.comparisons == pytest.approx(whole.tokens * whole.comparisons)
    assert shares.largest_tokens == whole.largest_tokens
