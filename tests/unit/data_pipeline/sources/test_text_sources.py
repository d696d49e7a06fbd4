"""Text adapters on records of the true shapes, awkward ones included, and on the real sets where they are at hand."""

import copy
from collections.abc import Sequence
from typing import Any

import adapter_checks
import pytest
from adapter_checks import convert, one, refusal
from text_records import RECORDS

from data_pipeline.records.comparison import Comparison, Turn
from data_pipeline.sources.adapters.fine_grained import ranks_from_votes


def ranks(comparison: Comparison) -> list[int]:
    return [response.rank for response in comparison.responses]


def texts(comparison: Comparison) -> list[str]:
    return [response.text for response in comparison.responses]


def scores(comparison: Comparison) -> list[float | None]:
    return [response.score for response in comparison.responses]


def user(text: str) -> tuple[Turn, ...]:
    return (Turn("user", (text,)),)


def changed(shape: str, path: Sequence[str | int], value: object) -> dict[str, Any]:
    """The shape's good record with another value at `path`; `KeyError` itself removes the field."""
    return adapter_checks.changed(RECORDS[shape], path, value)


# --- messages --------------------------------------------------------------------------------------------------------


def test_messages() -> None:
    made = one("messages")
    assert (made.id, made.source, made.prompt) == ("t-7", "mine", user("Name a bird."))
    assert (texts(made), ranks(made), scores(made)) == (["A wren.", "A trout."], [0, 1], [4.5, 2.0])


def test_messages_without_prompt_id_and_ratings() -> None:
    bare = {side: RECORDS["messages"][side] for side in ("chosen", "rejected")}
    for shape in ("messages", "skywork"):
        made = one(shape, bare)
        assert (made.id, made.prompt, scores(made)) == ("3", user("Name a bird."), [None, None])


@pytest.mark.parametrize("rating", [None, "N/A", float("nan"), True])
def test_messages_scores_need_two_numbers(rating: object) -> None:
    assert scores(one("messages", changed("messages", ["chosen_rating"], rating))) == [None, None]


def test_messages_prompt_field_stands_before_answers_alone() -> None:
    sides = {side: RECORDS["messages"][side][1:] for side in ("chosen", "rejected")}
    assert one("messages", {"prompt": "Name a bird.", **sides}).prompt == user("Name a bird.")
    opening = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert one("messages", {"prompt": opening, **sides}).prompt == (Turn("system", ("Be brief.",)), *user("Hi"))
    later = [{"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "Name a bird."}]
    longer = {"prompt": "Hi", **{side: later + turns for side, turns in sides.items()}}
    assert one("messages", longer).prompt == (*user("Hi"), Turn("assistant", ("Hi!",)), *user("Name a bird."))
    assert refusal("messages", sides).detail.startswith("prompt in row 3 of ['chosen'")
    assert refusal("messages", {"prompt": None, **sides}).reason == "missing_field"


def test_messages_of_several_turns_part_at_the_last_answer_only() -> None:
    start = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    sides = {side: start + RECORDS["messages"][side] for side in ("chosen", "rejected")}
    assert [turn.role for turn in one("messages", sides).prompt] == ["user", "assistant", "user"]
    other = {**sides, "rejected": [start[0], {"role": "assistant", "content": "No?"}, *sides["rejected"][2:]]}
    error = refusal("messages", other)
    assert (error.reason, "row 3" in error.detail, "turn 1" in error.detail) == ("prompts_differ", True, True)
    assert "1 and 3 turns" in refusal("messages", {**sides, "chosen": [start[0], sides["chosen"][-1]]}).detail


# --- shp, helpsteer3, pku_saferlhf -----------------------------------------------------------------------------------


def test_shp() -> None:
    made = one("shp")
    assert (made.id, made.prompt, texts(made)) == ("qx7", user("Why did my bread sink?"), ["Too wet.", "Bad luck."])
    assert (ranks(made), scores(made)) == ([0, 1], [12.0, 3.0])
    assert ranks(one("shp", changed("shp", ["labels"], 0))) == [1, 0]


@pytest.mark.parametrize(
    ("preference", "expected"), [(-3, [0, 1]), (-1, [0, 1]), (0, [0, 0]), (1, [1, 0]), (3, [1, 0])]
)
def test_helpsteer3_sign(preference: int, expected: list[int]) -> None:
    made = one("helpsteer3", changed("helpsteer3", ["overall_preference"], preference))
    assert (texts(made), ranks(made)) == (["Go left.", "Go."], expected)
    assert [turn.role for turn in made.prompt] == ["user", "assistant", "user"]


def test_pku_saferlhf_label_by_config() -> None:
    assert (texts(one("pku_saferlhf")), ranks(one("pku_saferlhf"))) == (["Ask a locksmith.", "Push here."], [1, 0])
    assert ranks(one("pku_saferlhf", score_field="better")) == [1, 0]
    assert ranks(one("pku_saferlhf", score_field="safer")) == [0, 1]
    error = refusal("pku_saferlhf", RECORDS["pku_saferlhf"], score_field="saver")
    assert (error.reason, error.detail.split(" of ")[0]) == ("missing_field", "saver_response_id in row 3")


# --- swe_arena -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vote", "expected"),
    [
        ("vote_left", [0, 1]),
        ("vote_model_A", [0, 1]),
        ("A", [0, 1]),
        ("vote_right", [1, 0]),
        ("model_b", [1, 0]),
        ("vote_tie", [0, 0]),
        ("Tie", [0, 0]),
        ("vote_both_bad", [0, 0]),
    ],
)
def test_swe_arena_votes(vote: str, expected: list[int]) -> None:
    made = one("swe_arena", changed("swe_arena", ["feedback", "vote_type"], vote))
    assert (made.id, made.prompt, texts(made)) == ("c1", user("Draw a clock."), ["svg", "ascii"])
    assert ranks(made) == expected


def test_swe_arena_refuses_what_it_does_not_know() -> None:
    error = refusal("swe_arena", changed("swe_arena", ["feedback", "vote_type"], "vote_third"))
    assert (error.reason, "'vote_third'" in error.detail) == ("unparsable_label", True)
    objects = [{"role": "user", "content": "Draw a clock."}, {"role": "assistant", "content": "html"}]
    made = one("swe_arena", changed("swe_arena", ["states", "model_B", "messages"], objects))
    assert texts(made) == ["svg", "html"]
    capitals = [["USER", "Draw a clock."], ["ASSISTANT", "html"]]
    assert texts(one("swe_arena", changed("swe_arena", ["states", "model_B", "messages"], capitals))) == ["svg", "html"]
    rounds = [["user", "Draw a clock."], ["assistant", "x"], ["user", "Bigger."], ["assistant", "y"]]
    assert (
        refusal("swe_arena", changed("swe_arena", ["states", "model_A", "messages"], rounds)).reason == "prompts_differ"
    )


# --- oasst -----------------------------------------------------------------------------------------------------------


def test_oasst_takes_every_group_of_ranked_siblings() -> None:
    root, deep = convert("oasst", RECORDS["oasst"])
    assert (root.id, root.prompt) == ("root", user("How do bees see?"))
    assert (texts(root), ranks(root)) == (["Badly.", "With five eyes.", "With eyes."], [2, 0, 1])
    assert deep.id == "ask"
    assert deep.prompt == (*user("How do bees see?"), Turn("assistant", ("With five eyes.",)), *user("And ants?"))
    assert (texts(deep), ranks(deep)) == (["Ants see less.", "Ants have two eyes.", "No idea."], [0, 0, 1])


def test_oasst_groups_come_in_the_order_of_the_tree_and_hold_assistants_only() -> None:
    answers = RECORDS["oasst"]["prompt"]["replies"][1]["replies"][0]["replies"][:2]
    tree = changed("oasst", ["prompt", "replies", 3, "replies", 0, "replies"], answers)
    assert [comparison.id for comparison in convert("oasst", tree)] == ["root", "ask", "so"]
    questions = [{**answer, "role": "prompter"} for answer in answers]
    tree = changed("oasst", ["prompt", "replies", 1, "replies"], questions)
    assert [comparison.id for comparison in convert("oasst", tree)] == ["root"]


def test_oasst_tree_without_a_ranked_group() -> None:
    lonely = changed("oasst", ["prompt", "replies"], RECORDS["oasst"]["prompt"]["replies"][:1])
    assert refusal("oasst", lonely).reason == "fewer_than_two_responses"


def test_oasst_tree_deeper_than_python_calls() -> None:
    tree: dict[str, Any] = copy.deepcopy(RECORDS["oasst"]["prompt"])
    for level in range(3000):
        role = "assistant" if level % 2 == 0 else "prompter"
        tree = {"message_id": str(level), "text": str(level), "role": role, "replies": [tree]}
    made = convert("oasst", {"prompt": tree})
    assert [len(comparison.prompt) for comparison in made] == [3001, 3003]


# --- fine_grained ----------------------------------------------------------------------------------------------------


def test_fine_grained_votes_that_fit_an_order() -> None:
    made = one("fine_grained")
    passages = "Old Bridge\n\nIt is old. It was built in 1901.\n\nNew Bridge\n\nIt is new."
    assert made.prompt == user("When was the bridge built?\n\n" + passages)
    assert (texts(made)[0], texts(made)[3]) == ("In 1901.", "It was built in 1901.")
    assert (made.id, ranks(made)) == ("3", [0, 1, 1, 0])
    assert ranks(one("fine_grained", changed("fine_grained", ["preference"], [0] * 6))) == [0, 0, 0, 0]


def test_fine_grained_votes_in_a_circle_become_pairs() -> None:
    made = convert("fine_grained", changed("fine_grained", ["preference"], [1, 2, 0, 1, 0, 0]))
    assert [comparison.id for comparison in made] == ["3:1-2", "3:1-3", "3:2-3"]
    assert [ranks(comparison) for comparison in made] == [[0, 1], [1, 0], [0, 1]]
    assert texts(made[1]) == ["In 1901.", "In 1903."]


def test_fine_grained_order_is_found_exactly_where_there_is_one() -> None:
    """All 729 sets of votes against all orders with ties: 75 of the sets come from one."""
    orders = {}
    for number in range(4**4):
        levels = [number // 4**place % 4 for place in range(4)]
        dense = tuple(sorted(set(levels)).index(level) for level in levels)
        votes = [0 if a == b else 1 if a < b else 2 for i, a in enumerate(dense) for b in dense[i + 1 :]]
        orders[tuple(votes)] = dense
    assert len(orders) == 75
    for number in range(3**6):
        votes = [number // 3**place % 3 for place in range(6)]
        assert ranks_from_votes(votes) == orders.get(tuple(votes))


# --- pairwise_labels, rewardbench, rm_bench --------------------------------------------------------------------------

LLMBAR = {"input": "q", "output_1": "a", "output_2": "b"}
AUTO_J = {"scenario": "s", "prompt": "q", "response 1": "a", "response 2": "b"}
JUDGEBENCH = {"pair_id": "p1", "source": "x", "question": "q", "response_A": "a", "response_B": "b"}
ALPACA = {"instruction": "q", "output_1": "a", "output_2": "b", "annotator": "x"}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({**LLMBAR, "label": 1}, [0, 1]),
        ({**LLMBAR, "label": 2}, [1, 0]),
        ({**AUTO_J, "label": 0}, [0, 1]),
        ({**AUTO_J, "label": 1}, [1, 0]),
        ({**AUTO_J, "label": 2}, [0, 0]),
        ({**JUDGEBENCH, "label": "A>B"}, [0, 1]),
        ({**JUDGEBENCH, "label": "B>A"}, [1, 0]),
        ({**ALPACA, "preference": 1}, [0, 1]),
        ({**ALPACA, "preference": 1.01}, [0, 1]),
        ({**ALPACA, "preference": 2.0}, [1, 0]),
        ({**ALPACA, "preference": 1.5}, [0, 0]),
        ({**ALPACA, "preference": 0}, [0, 0]),
    ],
)
def test_pairwise_labels(record: dict[str, Any], expected: list[int]) -> None:
    made = one("pairwise_labels", record)
    assert (made.prompt, texts(made), ranks(made)) == (user("q"), ["a", "b"], expected)
    assert made.id == record.get("pair_id", "3")


@pytest.mark.parametrize(
    "record",
    [
        {**LLMBAR, "label": 0},
        {**LLMBAR, "label": True},
        {**AUTO_J, "label": 3},
        {**JUDGEBENCH, "label": "A=B"},
        {**ALPACA, "preference": 0.5},
        {**ALPACA, "preference": "1"},
        {**ALPACA, "preference": [1]},
    ],
)
def test_pairwise_labels_without_a_verdict(record: dict[str, Any]) -> None:
    error = refusal("pairwise_labels", record)
    assert (error.reason, "in row 3" in error.detail) == ("unparsable_label", True)


def test_rewardbench_and_rm_bench() -> None:
    made = one("rewardbench")
    assert (made.id, made.prompt, texts(made), ranks(made)) == ("31", user("Sort: b, a."), ["a, b", "b, a"], [0, 1])
    made = one("rm_bench")
    assert (made.id, made.num_ordered_pairs, ranks(made)) == ("8", 9, [0, 0, 0, 1, 1, 1])
    assert texts(made) == RECORDS["rm_bench"]["chosen"] + RECORDS["rm_bench"]["rejected"]


def test_ultrafeedback_scores_by_their_own_fields() -> None:
    completions = [
        {"response": text, "annotations": {}, "fine-grained_score": fine, "overall_score": overall}
        for text, fine, overall in [("a", 4.25, 2.0), ("b", 3.0, 10), ("c", 4.25, 7.5), ("d", 1.0, "8")]
    ]
    record = {"instruction": "q", "completions": completions}
    assert ranks(one("ultrafeedback", record, score_field="fine-grained_score")) == [0, 1, 0, 2]
    assert ranks(one("ultrafeedback", record, score_field="overall_score")) == [3, 0, 2, 1]


# --- what a wrong record gets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "path", "value", "reason", "field"),
    [
        ("messages", ["chosen"], KeyError, "missing_field", "chosen in row 3 of ["),
        ("messages", ["chosen"], "text", "wrong_field_type", "chosen in row 3: expected a list of"),
        ("messages", ["rejected", 1, "content"], None, "missing_field", "rejected[1].content in row 3"),
        ("messages", ["rejected", 0, "role"], KeyError, "missing_field", "rejected[0].role in row 3 of ['content']"),
        ("messages", ["chosen", 1, "role"], "user", "malformed_dialogue", "chosen in row 3"),
        ("messages", ["rejected"], [], "malformed_dialogue", "rejected in row 3"),
        ("messages", ["id"], 1.5, "wrong_field_type", "id in row 3"),
        ("shp", ["labels"], 2, "unparsable_label", "labels in row 3 is 2.0"),
        ("shp", ["labels"], "A", "wrong_field_type", "labels in row 3"),
        ("shp", ["history"], KeyError, "missing_field", "history in row 3"),
        ("shp", ["human_ref_B"], None, "missing_field", "human_ref_B in row 3"),
        ("swe_arena", ["states"], KeyError, "missing_field", "states in row 3"),
        ("swe_arena", ["states"], [], "wrong_field_type", "states in row 3"),
        ("swe_arena", ["states", "model_B"], KeyError, "missing_field", "model_B in row 3"),
        ("swe_arena", ["feedback"], None, "missing_field", "feedback in row 3"),
        ("swe_arena", ["feedback", "vote_type"], None, "missing_field", "vote_type in row 3"),
        ("swe_arena", ["states", "model_A", "messages"], "x", "wrong_field_type", "states.model_A.messages in row 3"),
        (
            "swe_arena", ["states", "model_A", "messages", 1, 1], None, "wrong_field_type",
            "states.model_A.messages[1].content in row 3",
        ),
        (
            "swe_arena", ["states", "model_A", "messages", 0], ["user"], "wrong_field_type",
            "states.model_A.messages[0] in row 3",
        ),
        ("swe_arena", ["states", "model_A", "messages"], [], "malformed_dialogue", "states.model_A.messages in row 3"),
        ("oasst", ["prompt"], KeyError, "missing_field", "prompt in row 3"),
        ("oasst", ["prompt"], "text", "wrong_field_type", "prompt in row 3"),
        ("oasst", ["prompt", "text"], KeyError, "missing_field", "text in row 3"),
        ("oasst", ["prompt", "replies", 1, "replies"], None, "missing_field", "replies in row 3"),
        ("oasst", ["prompt", "replies", 0, "rank"], "first", "wrong_field_type", "rank in row 3"),
        ("oasst", ["prompt", "replies", 0, "rank"], float("nan"), "unparsable_label", "rank in row 3 is nan"),
        ("fine_grained", ["prediction 4"], KeyError, "missing_field", "prediction 4 in row 3"),
        ("fine_grained", ["preference"], "111111", "wrong_field_type", "preference in row 3"),
        ("fine_grained", ["preference"], [1, 1, 1], "unparsable_label", "preference in row 3"),
        ("fine_grained", ["preference", 5], 3, "unparsable_label", "[1, 1, 0, 0, 2, 3]"),
        ("fine_grained", ["preference", 5], True, "unparsable_label", "preference in row 3"),
        ("fine_grained", ["passages"], [[]], "wrong_field_type", "passages in row 3"),
        ("helpsteer3", ["overall_preference"], -4, "unparsable_label", "overall_preference in row 3 is -4.0"),
        ("helpsteer3", ["overall_preference"], float("nan"), "unparsable_label", "overall_preference in row 3"),
        ("helpsteer3", ["context"], "text", "wrong_field_type", "context in row 3"),
        ("helpsteer3", ["context", 0, "content"], 5, "wrong_field_type", "context[0].content in row 3"),
        ("helpsteer3", ["response2"], KeyError, "missing_field", "response2 in row 3"),
        ("pku_saferlhf", ["better_response_id"], 2, "unparsable_label", "better_response_id in row 3 is 2.0"),
        ("pku_saferlhf", ["better_response_id"], KeyError, "missing_field", "better_response_id in row 3"),
        ("pku_saferlhf", ["response_0"], 7, "wrong_field_type", "response_0 in row 3"),
        ("pairwise_labels", ["output_2"], KeyError, "missing_field", "row 3 has ['annotator'"),
        ("pairwise_labels", ["preference"], None, "missing_field", "row 3 has"),
        ("rewardbench", ["chosen"], ["a"], "wrong_field_type", "chosen in row 3"),
        ("rewardbench", ["prompt"], KeyError, "missing_field", "prompt in row 3"),
        ("rm_bench", ["chosen"], "abc", "wrong_field_type", "chosen in row 3: expected a list of 3 strings"),
        ("rm_bench", ["rejected"], ["a", "b"], "wrong_field_type", "rejected in row 3"),
        ("rm_bench", ["rejected", 2], None, "wrong_field_type", "rejected in row 3"),
    ],
)  # fmt: skip
def test_refusals_name_field_and_row(shape: str, path: list[str | int], value: object, reason: str, field: str) -> None:
    error = refusal(shape, changed(shape, path, value))
    assert error.reason == reason
    assert field in error.detail
