from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rl_toys import prompt, write_policy_folder

from data_pipeline.errors import MissingInput
from rm_core.model_folder.paradigm import question_of, reasons, write_paradigm
from rm_core.rl.config import RewardConfig
from rm_core.rl.judging import judge_prompts, verdict_reward
from rm_core.rl.policy import load_policy, write_policy
from rm_core.rl.rewards import AskedGroup, reward_kind
from rm_core.rl.scoring import Group

QUESTION = "A: {first} B: {second} Which?"


def test_each_pair_of_which_one_is_better_is_asked_about_in_a_drawn_order() -> None:
    found = judge_prompts(
        [replace(prompt(f"{number}?", ["good {second}", "fair", "fair too"]), ranks=(0, 1, 1), key=f"{number:064x}")
         for number in range(100)], QUESTION,
    )  # fmt: skip
    assert len(found) == 200 and len({one.key for one in found}) == 200
    orders = Counter(one.answers[0] for one in found)
    assert 70 < orders["1"] < 130, "neither place is the better one's"
    for one in found:
        text = one.turns[-1]["content"][0]["text"]
        first, second = text.removeprefix("A: ").removesuffix(" Which?").split(" B: ")
        assert (first if one.answers[0] == "1" else second) == "good {second}", "braces of an answer mean nothing"


def test_records_without_a_preference_teach_no_judge() -> None:
    with pytest.raises(MissingInput, match="no two answers"):
        judge_prompts([replace(prompt("?", ["a", "b"]), ranks=(0, 0))], QUESTION)


@pytest.mark.parametrize(
    ("text", "right", "worth"),
    [
        ("<think>The first is wrong.</think><answer>1</answer>", "1", 2.0),
        ("<think>So the second wins.</think><answer>1</answer>", "1", 1.5),
        ("<think>So the second wins.</think><answer>2</answer>", "1", 0.5),
        ("<think>Both are fine.</think><answer>2</answer>", "2", 2.0),
        ("1", "1", 0.0),
        ("<think>a</think><answer>1</answer> Sure.", "1", 0.0),
        ("<think>a</think><answer>3</answer>", "1", 0.0),
    ],
)
def test_a_verdict_is_worth_result_consistency_and_form(text: str, right: str, worth: float) -> None:
    assert verdict_reward(text, right) == worth


def test_a_text_without_a_verdict_is_counted_and_gains_nothing() -> None:
    texts = ["<think>x</think><answer>2</answer>", "2"]
    group = Group(turns=[], images=[], answers=texts)
    [found] = reward_kind(RewardConfig(kind="verdict"), None)([AskedGroup(group=group, reference="2")])
    assert [(one.reward, one.right, one.scored) for one in found] == [(2.0, True, True), (0.0, False, False)]


def test_a_judge_that_has_learnt_is_a_judge_again(tmp_path: Path) -> None:
    judge = write_policy_folder(tmp_path)
    write_paradigm(judge, "generative", QUESTION, "reasoning")
    load_policy(judge, "fp32").save_pretrained(tmp_path / "trained")
    write_policy(str(tmp_path / "export"), str(tmp_path / "trained"), processor_from=judge, lineage={})
    assert reasons(str(tmp_path / "export")) and question_of(str(tmp_path / "export")) == QUESTION
