from dataclasses import replace
from typing import Any

import pytest
from rl_toys import Counting, prompt

from rm_core.rl.config import RewardConfig
from rm_core.rl.rewards import reward_kind
from rm_core.rl.trainer import RewardFunctions, looks_of

PROMPTS = [
    replace(prompt(f"{name}?", [answer]), key=name, images=(name.encode(),))
    for name, answer in (("a", "red"), ("b", "blue"))
]


def functions(scorer: Counting, *, gold_in_training: bool = True) -> tuple[RewardFunctions, Any, Any]:
    kind = reward_kind(RewardConfig(kind="model"), scorer)
    gold = reward_kind(RewardConfig(kind="rule"), None)
    made = RewardFunctions(kind, gold, PROMPTS, 2, gold_in_training=gold_in_training)
    return made, *made.functions()


def said(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_answers_are_scored_with_the_prompt_and_the_files_that_were_read() -> None:
    scorer, logged = Counting(), dict[str, float]()
    _, reward, gold = functions(scorer)
    given = {"completions": said("red", "it is red", "b", ""), "key": ["a", "a", "b", "b"], "prompts": "not looked at"}
    assert reward(**given, log_metric=logged.__setitem__) == [3, 9, 1, 1]
    assert [row["images"] for row in scorer.asked] == [[b"a"], [b"b"]]
    assert [row["prompt"] for row in scorer.asked] == [one.turns for one in PROMPTS]
    assert logged == {"right": 0.25, "unscored": 0.25}
    assert gold(**given) == [1, 0, 0, 0]


def test_texts_about_which_another_model_did_not_say_anything_are_counted() -> None:
    logged = dict[str, float]()
    kind = reward_kind(RewardConfig(kind="verdict"), None, lambda texts: [None] * len(texts))
    judged = [replace(prompt("a?", ["1"]), key="a")]
    reward, _ = RewardFunctions(kind, kind, judged, 2, gold_in_training=True).functions()
    texts = said(*(f"<think>a</think><answer>{verdict}</answer>" for verdict in (1, 2)))
    assert reward(completions=texts, key=["a", "a"], log_metric=logged.__setitem__) == [0.5, 0.5]
    assert logged == {"right": 0.5, "unscored": 0.0, "undecided": 0.5}


def test_answers_of_two_prompts_in_one_group_are_a_mistake_of_ours() -> None:
    _, reward, _ = functions(Counting())
    with pytest.raises(AssertionError, match="on one rank"):
        reward(completions=said("x", "y"), key=["a", "b"], log_metric=print)


def test_a_gold_that_costs_is_measured_at_looks_alone() -> None:
    made, _, gold = functions(Counting(), gold_in_training=False)
    asked = {"completions": said("red", "x"), "key": ["a", "a"]}
    assert gold(**asked) == [None, None]
    made.is_training = lambda: False
    assert gold(**asked) == [1, 0]


def test_looks_are_read_from_the_trainers_history_one_a_step() -> None:
    look = {"eval_rewards/gold/mean": 0.5, "eval_rewards/gold/std": 0.4, "eval_rewards/reward/mean": 2.0,
            "eval_completions/mean_length": 7.0}  # fmt: skip
    history = [{"loss": 1.0, "step": 1}, {**look, "step": 10}, {**look, "step": 10, "eval_rewards/gold/mean": 0.6}]
    [found] = looks_of(history, num_prompts=16)
    assert (found.step, found.gold, found.gold_error, found.kl) == (10, 0.6, 0.1, None)
