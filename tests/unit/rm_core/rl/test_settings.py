from dataclasses import replace
from typing import Any

import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecipeError
from rm_core.rl.config import ConsistencyConfig, RewardConfig, RlConfig, RuleConfig, WatchConfig
from rm_core.rl.settings import (
    check_grpo_fields,
    check_pictures,
    check_rl_config,
    eval_batch,
    grpo_config,
    num_steps_of,
    sft_config,
)

CONFIG = RlConfig(prompts=[SourceConfig(name="a", path="a.jsonl")], batch=32, num_workers=2, precision="fp32")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompts": []}, "rl.prompts is empty"),
        ({"batch": 24}, "rl.batch=24"),
        ({"micro_batch": 5}, "rl.micro_batch=5"),
        ({"watch": WatchConfig(every=30)}, "rl.checkpoint_every=50 does not divide"),
        ({"watch": WatchConfig(max_kl=0.1)}, "rl.grpo.beta"),
        ({"watch": WatchConfig(heldout_fraction=0.0)}, "leaves nothing to look at"),
        ({"num_generations": 1}, "rl.num_generations=1"),
        ({"reward": RewardConfig(kind="rule", pessimism=1.0)}, "rl.reward.pessimism=1"),
        ({"reward": RewardConfig(kind="rule", url="http://a:1")}, "rl.reward.url=http://a:1 is never asked"),
        ({"reward": RewardConfig(patience_s=5.0)}, "rl.reward.patience_s=5"),
        ({"reward": RewardConfig(consistency=ConsistencyConfig(url="http://a"))}, "rl.reward.consistency.url=http://a"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said.replace(".", r"\.")):
        check_rl_config(replace(CONFIG, **changes))


def test_a_rule_that_is_none_is_refused_before_anything_is_read() -> None:
    with pytest.raises(RecipeError, match="no regular expression"):
        check_rl_config(replace(CONFIG, reward=replace(CONFIG.reward, rule=RuleConfig(pattern="["))))


def test_fields_of_trl_go_through_and_ours_and_misspelt_ones_are_refused() -> None:
    check_grpo_fields({"beta": 0.1, "loss_type": "dr_grpo"})
    with pytest.raises(RecipeError, match=r"rl\.grpo\.learning_rate is decided by rl\.learning_rate"):
        check_grpo_fields({"learning_rate": 1.0})
    with pytest.raises(RecipeError, match="did you mean 'loss_type'"):
        check_grpo_fields({"los_type": "grpo"})


def test_steps_are_whole_batches_of_prompts() -> None:
    assert num_steps_of(CONFIG, 9) == 2
    assert num_steps_of(replace(CONFIG, epochs=3), 9) == 6
    assert num_steps_of(replace(CONFIG, max_steps=5), 9) == 5
    with pytest.raises(RecipeError, match="3 prompts to train on, and a step takes 4"):
        num_steps_of(CONFIG, 3)


@pytest.mark.parametrize("heldout", [2, 3, 5, 12, 500])
def test_a_look_has_whole_batches_on_every_worker(heldout: int) -> None:
    together, looked_at = eval_batch(CONFIG, heldout)
    assert 0 < looked_at <= min(heldout, CONFIG.watch.max_prompts)
    assert looked_at % (together * CONFIG.num_workers) == 0
    assert together * CONFIG.num_generations <= CONFIG.batch // CONFIG.num_workers, "no more at once than in a step"


def test_a_workers_share_holds_all_answers_to_each_of_its_prompts() -> None:
    config = replace(CONFIG, micro_batch=4, grpo={"beta": 0.1, "generation_kwargs": {"min_new_tokens": 2}})
    made = grpo_config(
        config, "/tmp/none", steps=7, eval_prompts=1, use_cpu=True, pictures=False, never=[5], resumes=False
    )
    assert made.per_device_train_batch_size * made.gradient_accumulation_steps == 16
    assert made.steps_per_generation == made.gradient_accumulation_steps
    assert made.generation_kwargs == {"suppress_tokens": [5], "min_new_tokens": 2}
    assert (made.beta, made.max_steps, made.save_steps, made.eval_steps) == (0.1, 7, 50, 50)
    assert made.per_device_eval_batch_size == 8 and made.eval_on_start
    assert made.reward_weights == [1.0, 0.0], "nothing learns from gold"


def test_ranks_whose_prompts_have_no_picture_keep_step_with_those_whose_prompts_have_some() -> None:
    """TRL gathers pictures to log them where a rank has some, and a vision tower without any has no gradients."""
    asked: dict[str, Any] = {"steps": 7, "eval_prompts": 1, "use_cpu": True, "never": [], "resumes": False}
    made = grpo_config(CONFIG, "/tmp/none", pictures=True, **asked)
    assert (made.log_multimodal, made.ddp_find_unused_parameters) == (False, True)
    assert sft_config(CONFIG, "/tmp/none", use_cpu=True, pictures=True).ddp_find_unused_parameters
    assert grpo_config(CONFIG, "/tmp/none", pictures=False, **asked).ddp_find_unused_parameters is None


def test_workers_that_gather_all_weights_together_want_prompts_of_one_kind() -> None:
    mixed = [True, False, True]
    with pytest.raises(RecipeError, match=r"1 of 3 prompts have no picture.*set rl\.zero=2"):
        check_pictures(replace(CONFIG, zero=3), mixed)
    for config, shown in (
        (replace(CONFIG, zero=2), mixed), (replace(CONFIG, zero=3, num_workers=1), mixed),
        (replace(CONFIG, zero=3), [True, True]), (replace(CONFIG, zero=3), [False, False]),
    ):  # fmt: skip
        check_pictures(config, shown)


def test_the_warm_up_has_its_own_steps_and_rate() -> None:
    config = replace(CONFIG, warm_up=replace(CONFIG.warm_up, steps=40, batch=8, learning_rate=0.5))
    made = sft_config(config, "/tmp/none", use_cpu=True, pictures=False)
    assert (made.max_steps, made.learning_rate, made.warmup_steps) == (40, 0.5, 2)
    assert made.per_device_train_batch_size * made.gradient_accumulation_steps == 4
