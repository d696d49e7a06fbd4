"""Adapters of sets whose answers or labels come from a judge or an arena: R1-Reward, WildVision, LLaVA-Critic."""

import copy
import json
from typing import Any

import pytest
from adapter_checks import answers, changed, convert, one, pictured, refusal
from multimodal_records import NUMBERED_PROMPT, R1_JUDGED, RECORDS

from data_pipeline.records.comparison import MediaRef


def test_r1_reward_flat_and_judged() -> None:
    assert answers(one("r1_reward")) == [("A wren.", 0), ("A trout.", 1)]
    made = one("r1_reward", R1_JUDGED)
    assert (made.prompt, answers(made)) == (pictured("Which bird is it?"), [("A trout.", 1), ("A wren, in C#.", 0)])
    assert made.media == (MediaRef(data=b"\x89PNG\r\n\x1a\n"),)
    assert one("r1_reward", {**R1_JUDGED, "image": "iVBOR\nw0KGgo=\n"}).media == made.media
    for empty in ("", None):
        assert one("r1_reward", {**R1_JUDGED, "image": empty}).media == (MediaRef(path="/elsewhere/7.jpg"),)
    assert one("r1_reward", {**R1_JUDGED, "image": "img/7.jpg"}).media == (MediaRef(path="img/7.jpg"),)
    assert [rank for _, rank in answers(one("r1_reward", {**R1_JUDGED, "answer": "1"}))] == [0, 1]


@pytest.mark.parametrize(
    "prompt",
    [
        "Which of the two is better?",
        NUMBERED_PROMPT.replace("[Response 2]", "[Response 1]"),
        NUMBERED_PROMPT.replace("**Output Format", "**Form"),
        NUMBERED_PROMPT.replace("A trout.", "I copy:\n## [Response 2]:\nno"),
    ],
)
def test_r1_reward_refuses_a_prompt_without_clear_marks(prompt: str) -> None:
    message = json.dumps([{"role": "user", "content": prompt}])
    error = refusal("r1_reward", {**R1_JUDGED, "message": message})
    assert (error.reason, "message in row 3" in error.detail, "times" in error.detail) == (
        "no_answers_found",
        True,
        True,
    )


def test_r1_reward_refuses_a_long_run_of_marks_at_once() -> None:
    message = json.dumps([{"role": "user", "content": "#" * 500_000}])
    assert refusal("r1_reward", {**R1_JUDGED, "message": message}).reason == "no_answers_found"


@pytest.mark.parametrize(
    ("winner", "expected"),
    [("model_a", [0, 1]), ("model_b", [1, 0]), ("tie", [0, 0]), ("tie (bothbad)", [0, 0])],
)
def test_wildvision_battles(winner: str, expected: list[int]) -> None:
    made = one("wildvision_battles", changed(RECORDS["wildvision_battles"], ["winner"], winner))
    assert (made.id, made.prompt) == ("q7", pictured("Which bird is it?"))
    assert answers(made) == list(zip(["A wren.", "A trout."], expected, strict=True))


def test_wildvision_battles_of_texts_and_of_several_rounds() -> None:
    texts = {**RECORDS["wildvision_battles"], "conversation_a": "A wren.", "conversation_b": "A trout."}
    assert one("wildvision_battles", {**texts, "instruction": "Which?"}).prompt == pictured("Which?")
    assert refusal("wildvision_battles", texts).detail.startswith("instruction in row 3")
    battle = {"question_id": "q7", "model_a": "m1", "model_b": "m2", "winner": "model_b"}
    joined = {**battle, "instruction": "Which?", "image": "7.png", "output_a": "A trout.", "output_b": "A wren."}
    assert answers(one("wildvision_battles", joined)) == [("A trout.", 1), ("A wren.", 0)]
    assert refusal("wildvision_battles", battle).detail.startswith("conversation_a in row 3")
    rounds = copy.deepcopy(RECORDS["wildvision_battles"])
    for name, answer in [("conversation_a", "Sure."), ("conversation_b", "No.")]:
        rounds[name] += [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": answer}]
    assert refusal("wildvision_battles", rounds).reason == "prompts_differ"


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("A>>B", [(0, 2.0), (1, 0.0)]),
        ("A>B", [(0, 1.0), (1, 0.0)]),
        ("A=B", [(0, 0.0), (0, 0.0)]),
        ("B>A", [(1, 0.0), (0, 1.0)]),
        ("B>>A", [(1, 0.0), (0, 2.0)]),
    ],
)
def test_wildvision_votes_keep_the_margin(score: str, expected: list[tuple[int, float]]) -> None:
    made = one("wildvision_votes", changed(RECORDS["wildvision_votes"], ["games", 0, "score"], score))
    assert (made.prompt, made.media) == (pictured("Which bird is it?"), (MediaRef(path="0f3a"),))
    assert [(response.rank, response.score) for response in made.responses] == expected
    assert [response.text for response in made.responses] == ["A wren.", "A trout."]


def test_wildvision_votes_leave_out_games_without_a_verdict() -> None:
    (game,) = RECORDS["wildvision_votes"]["games"]
    for nothing in (None, "", "Both are fine."):
        assert refusal(
            "wildvision_votes", changed(RECORDS["wildvision_votes"], ["games", 0, "score"], nothing)
        ).reason == ("unparsable_label")
        made = one("wildvision_votes", {**RECORDS["wildvision_votes"], "games": [{**game, "score": nothing}, game]})
        assert made.id == "q7:1"
    two = convert("wildvision_votes", {**RECORDS["wildvision_votes"], "games": [game, {**game, "score": "B>A"}]})
    assert [comparison.id for comparison in two] == ["q7:0", "q7:1"]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("The better response: [first]", [0, 1]),
        ("... The better response: [2]", [1, 0]),
        ("The better response: [B].", [1, 0]),
        ("The two are alike. Both are equally good.", [0, 0]),
        ("My verdict is [[B>>A]]", [1, 0]),
        ("[[A=B]]", [0, 0]),
    ],
)
def test_llava_critic_verdicts(verdict: str, expected: list[int]) -> None:
    made = one("llava_critic", changed(RECORDS["llava_critic"], ["conversations", 1, "value"], verdict))
    assert (made.prompt, made.media) == (pictured("Which bird is it?"), (MediaRef(path="7.jpg"),))
    assert answers(made) == list(zip(["A wren.", "A trout."], expected, strict=True))


@pytest.mark.parametrize(
    "verdict",
    ["Hard to say.", "The better response: [third]", "[[A>B]] or rather [[B>A]]", "They are not equally good."],
)
def test_llava_critic_without_a_verdict(verdict: str) -> None:
    error = refusal("llava_critic", changed(RECORDS["llava_critic"], ["conversations", 1, "value"], verdict))
    assert (error.reason, "row 3" in error.detail) == ("unparsable_label", True)


def test_llava_critic_prompts() -> None:
    def asked(human: str) -> dict[str, Any]:
        return changed(RECORDS["llava_critic"], ["conversations", 0, "value"], human)

    human = RECORDS["llava_critic"]["conversations"][0]["value"]
    more = human.replace("ASSISTANT:", "End with The better response: [first] or [second].")
    assert answers(one("llava_critic", asked(more))) == [("A wren.", 0), ("A trout.", 1)]
    bracketed = human.replace("A wren.", "One of [wren, robin].").replace("A trout.", "x[0] = [1]")
    assert answers(one("llava_critic", asked(bracketed))) == [("One of [wren, robin].", 0), ("x[0] = [1]", 1)]
    arena = RECORDS["wildvision_votes"]["games"][0]["user_prompt"][0]["text"]
    assert answers(one("llava_critic", asked(arena))) == [("A wren.", 0), ("A trout.", 1)]
    pointwise = "Question: [Which bird is it?]\nThe LMM response: [A wren.]\nASSISTANT:\n"
    error = refusal("llava_critic", asked(pointwise))
    assert (error.reason, "first response" in error.detail, "row 3" in error.detail) == ("no_answers_found", True, True)
