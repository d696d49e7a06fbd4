from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rl_toys import prompt, write_policy_folder

from data_pipeline.errors import MissingInput
from rm_core.model_folder.paradigm import question_of, reasons, write_paradigm
from rm_core.rl.config import RewardConfig
from rm_core.rl.judging import Agreement, Judged, judge_prompts
from rm_core.rl.policy import load_policy, write_policy
from rm_core.rl.rewards import AnswerReward, AskedGroup, reward_kind
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


def worths(texts: Sequence[str], right: str, agreement: Agreement | None = None) -> list[AnswerReward]:
    """Of texts to one question."""
    group = Group(turns=[], images=[], answers=texts)
    [found] = reward_kind(RewardConfig(kind="verdict"), None, agreement)([AskedGroup(group=group, reference=right)])
    return found


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
    assert [one.reward for one in worths([text], right)] == [worth]


def test_a_text_without_a_verdict_is_counted_and_gains_nothing() -> None:
    found = worths(["<think>x</think><answer>2</answer>", "2"], "2")
    assert [(one.reward, one.right, one.scored) for one in found] == [(2.0, True, True), (0.0, False, False)]
    assert [one.undecided for one in found] == [None, None], "nobody else is asked"


SAID = {why: f"<think>{why}</think><answer>2</answer>" for why in ("yes", "no", "who knows")}
WRONG, FORMLESS = "<think>yes</think><answer>1</answer>", "2"


def says(texts: Sequence[Judged]) -> list[bool | None]:
    """What another model says, of which the reasoning speaks."""
    assert all(one.verdict == 1 for one in texts), "consistency counts for right verdicts alone"
    return [{"yes": True, "no": False}.get(one.why) for one in texts]


def test_another_model_says_what_is_consistent() -> None:
    found = worths([SAID["yes"], WRONG, SAID["no"], FORMLESS], "2", says)
    assert [one.reward for one in found] == [2.0, 0.5, 1.5, 0.0]
    assert [one.undecided for one in found] == [False] * 4


def test_from_a_text_about_which_nobody_could_say_anything_nothing_is_learnt() -> None:
    """It has the mean of its group, from which advantages are counted."""
    found = worths([SAID["yes"], SAID["who knows"], WRONG, SAID["no"], FORMLESS], "2", says)
    rewards = [one.reward for one in found]
    assert rewards == [2.0, 1.0, 0.5, 1.5, 0.0] and sum(rewards) / 5 == 1.0
    assert [one.undecided for one in found] == [False, True, False, False, False]
    assert [one.right for one in found] == [True, True, False, True, False]
    alike = worths([SAID["who knows"]] * 2, "2", says)
    assert [(one.reward, one.undecided) for one in alike] == [(1.5, True)] * 2


def test_a_judge_that_has_learnt_is_a_judge_again(tmp_path: Path) -> None:
    judge = write_policy_folder(tmp_path)
    write_paradigm(judge, "generative", QUESTION, "reasoning")
    load_policy(judge, "fp32").save_pretrained(tmp_path / "trained")
    write_policy(str(tmp_path / "export"), str(tmp_path / "trained"), processor_from=judge, lineage={})
    assert reasons(str(tmp_path / "export")) and question_of(str(tmp_path / "export")) == QUESTION
