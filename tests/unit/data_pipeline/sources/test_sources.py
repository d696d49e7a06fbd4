"""Adapters on records of the true shapes, awkward ones included, and on the real sets where they are at hand."""

import base64
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Turn
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.sources.registry import adapter_of, unranked_adapter

REAL_DATA = Path(os.environ.get("BASEREWARD_REAL_DATA", Path(__file__).parents[4].parent / "shared" / "data"))
PNG = b"\x89PNG not really"


def convert(shape: str, record: dict[str, Any], row: int = 3, **options: Any) -> Comparison:
    return adapter_of(shape)(record, SourceConfig(name="mine", path="x", shape=shape, **options), row)


def reason_of(shape: str, record: dict[str, Any], **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        convert(shape, record, **options)
    return caught.value


def ranks(comparison: Comparison) -> list[int]:
    return [response.rank for response in comparison.responses]


def texts(comparison: Comparison) -> list[str]:
    return [response.text for response in comparison.responses]


# --- the table -------------------------------------------------------------------------------------------------------


def test_an_unknown_shape_names_the_nearest() -> None:
    with pytest.raises(MissingInput, match="did you mean 'vlfeedback'"):
        adapter_of("vl_feedback")
    with pytest.raises(MissingInput, match="jsonl"):
        adapter_of("something else")


# --- jsonl -----------------------------------------------------------------------------------------------------------


def test_jsonl_pair() -> None:
    record = {"id": 7, "image": "a.png", "prompt": "What?", "chosen": "Red.", "rejected": "Blue."}
    made = convert("jsonl", record)
    assert (made.id, made.source, made.split) == ("7", "mine", None)
    assert made.prompt == (Turn("user", (ImageSlot(0), "What?")),)
    assert made.media == (MediaRef(path="a.png"),)
    assert (texts(made), ranks(made)) == (["Red.", "Blue."], [0, 1])


def test_jsonl_field_map_and_row_as_id() -> None:
    names = FieldMap(prompt="question", chosen="good", rejected="bad")
    made = convert("jsonl", {"question": "q", "good": "a", "bad": "b"}, fields=names)
    assert (made.id, texts(made), made.media) == ("3", ["a", "b"], ())


def test_jsonl_scores_and_ranks_with_ties() -> None:
    scored = {"prompt": "q", "responses": [{"text": t, "score": s} for t, s in zip("abc", (1, 4.5, 1), strict=True)]}
    assert ranks(convert("jsonl", scored)) == [1, 0, 1]
    assert [response.score for response in convert("jsonl", scored).responses] == [1.0, 4.5, 1.0]
    ranked = {"prompt": "q", "responses": [{"text": t, "rank": r} for t, r in zip("abc", (5, 0, 5), strict=True)]}
    assert ranks(convert("jsonl", ranked)) == [1, 0, 1]
    assert convert("jsonl", ranked).responses[0].score is None


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (None, ()),
        ("", ()),
        (["a.png", "b.png"], (MediaRef(path="a.png"), MediaRef(path="b.png"))),
        ({"bytes": PNG, "path": "a.png"}, (MediaRef(path="a.png", data=PNG),)),
        ("data:image/png;base64," + base64.b64encode(PNG).decode(), (MediaRef(data=PNG),)),
    ],
)
def test_jsonl_images(image: object, expected: tuple[MediaRef, ...]) -> None:
    assert convert("jsonl", {"prompt": "q", "chosen": "a", "rejected": "b", "image": image}).media == expected


def test_jsonl_tags_mark_the_places() -> None:
    pair = {"chosen": "a", "rejected": "b", "image": ["1.png", "2.png"]}
    made = convert("jsonl", {"prompt": "Is <image> like <image>?", **pair})
    assert made.prompt[0].parts == ("Is ", ImageSlot(0), " like ", ImageSlot(1), "?")
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "See "}, {"type": "image"}]},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "and <image>"},
    ]
    made = convert("jsonl", {"prompt": turns, **pair})
    assert made.prompt[1].parts == ("See ", ImageSlot(0))
    assert made.prompt[3].parts == ("and ", ImageSlot(1))


def test_jsonl_images_without_tags_go_to_the_first_user_turn() -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What?"}]
    made = convert("jsonl", {"prompt": turns, "image": "1.png", "chosen": "a", "rejected": "b"})
    assert made.prompt == (Turn("system", ("Be brief.",)), Turn("user", (ImageSlot(0), "What?")))


PAIR = {"prompt": "q", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"prompt": 5}, "wrong_field_type", "prompt in row 3: expected a string or a list of turns, got int 5"),
        ({"rejected": None}, "missing_field", "rejected in row 3"),
        ({"chosen": {"from": "gpt"}}, "wrong_field_type", "chosen in row 3"),
        ({"id": 1.5}, "wrong_field_type", "id in row 3"),
        ({"image": 5}, "wrong_field_type", "image in row 3"),
        ({"image": {"bytes": None, "path": None}}, "missing_media", "neither bytes nor path"),
        ({"image": "data:image/png;base64,%%%"}, "broken_image", "image in row 3"),
        ({"image": "data:image/png,abc"}, "broken_image", "must be base64"),
        ({"prompt": "a <image> b"}, "image_slot_mismatch", "1 <image> tags for 0 images"),
        ({"prompt": "<image>", "image": ["a", "b"]}, "image_slot_mismatch", "1 <image> tags for 2 images"),
        ({"prompt": [{"role": "system", "content": "x"}], "image": "a"}, "image_slot_mismatch", "no user turn"),
        ({"prompt": [{"role": "user", "content": "<image>"}]}, "image_slot_mismatch", "1 image places for 0"),
        ({"prompt": [{"content": "x"}]}, "missing_field", "role in row 3 of ['content']"),
        ({"prompt": [{"role": "user", "content": [{"type": "audio"}]}]}, "unsupported_media", "audio"),
        ({"responses": "abc"}, "wrong_field_type", "responses in row 3"),
        ({"responses": [{"text": "a", "score": "7"}]}, "wrong_field_type", "score in row 3"),
        ({"responses": [{"text": "a", "score": True}]}, "wrong_field_type", "score in row 3"),
        ({"responses": [{"text": "a", "score": float("nan")}]}, "unparsable_label", "nan"),
        ({"responses": [{"text": "a", "score": 10**400}]}, "unparsable_label", "too large"),
        ({"responses": [{"text": "a", "score": 1}, {"text": "b"}]}, "missing_field", "score in row 3 of ['text']"),
        ({"responses": [{"text": "a"}]}, "missing_field", "score in row 3"),
        ({"responses": [{"score": 1}]}, "missing_field", "text in row 3 of ['score']"),
    ],
)
def test_jsonl_refusals_name_field_row_and_value(change: dict[str, Any], reason: str, detail: str) -> None:
    error = reason_of("jsonl", {**PAIR, **change})
    assert error.reason == reason
    assert detail in error.detail


@pytest.mark.parametrize("field", ["prompt", "chosen", "rejected"])
def test_jsonl_missing_field(field: str) -> None:
    record = {name: value for name, value in PAIR.items() if name != field}
    error = reason_of("jsonl", record)
    assert (error.reason, error.detail) == ("missing_field", f"{field} in row 3 of {sorted(record)}")


# --- rlaif_v ---------------------------------------------------------------------------------------------------------

RLAIF_V = {
    "ds_name": "RLAIF-V",
    "image": {"bytes": PNG, "path": "gone/1.jpg"},
    "question": "What is it?",
    "chosen": "A bus.",
    "rejected": "A dog.",
    "origin_dataset": "VQAv2",
    "origin_split": '{"model": "llava15-7b"}',
    "idx": 12,
    "image_path": "gone/1.jpg",
}


def test_rlaif_v() -> None:
    made = convert("rlaif_v", RLAIF_V)
    assert (made.id, texts(made), ranks(made)) == ("12", ["A bus.", "A dog."], [0, 1])
    assert made.prompt[0].parts == (ImageSlot(0), "What is it?")
    assert made.media == (MediaRef(path="gone/1.jpg", data=PNG),)


def test_rlaif_v_needs_its_image() -> None:
    assert reason_of("rlaif_v", {**RLAIF_V, "image": None}).reason == "missing_field"
    without = {name: value for name, value in RLAIF_V.items() if name != "image"}
    assert reason_of("rlaif_v", without).detail.startswith("image in row 3 of ['chosen'")


# --- vlfeedback and ultrafeedback ------------------------------------------------------------------------------------


def rated(answer: str, *ratings: object, **more: object) -> dict[str, Any]:
    aspects = ("Helpfulness", "Visual Faithfulness", "Ethical Considerations")
    notes = {name: {"Rating": r, "Rationale": ""} for name, r in zip(aspects, ratings, strict=True)}
    return {"model": "m", "response": answer, "annotations": notes, **more}


def vlfeedback(*completions: dict[str, Any]) -> dict[str, Any]:
    return {"id": "svit-1", "prompt": "What?", "img_path": "images/1.jpg", "completions": list(completions)}


def test_vlfeedback_ranks_by_mean_with_ties() -> None:
    four = [rated("a", "4", "5", "3"), rated("b", "5", "5", "5"), rated("c", "3", "4", "5"), rated("d", "1", "1", "2")]
    made = convert("vlfeedback", vlfeedback(*four))
    assert (made.id, ranks(made), made.media) == ("svit-1", [1, 0, 1, 2], (MediaRef(path="images/1.jpg"),))
    assert made.responses[0].score == 4.0


def test_vlfeedback_leaves_out_what_has_no_number() -> None:
    completions = [rated("a", "4", "5", "3"), rated("b", "N/A", "5", "5"), rated("c", "1", 1, "1")]
    made = convert("vlfeedback", vlfeedback(*completions))
    assert (texts(made), ranks(made)) == (["a", "c"], [0, 1])
    error = reason_of("vlfeedback", vlfeedback(*completions[:2]))
    assert (error.reason, "1 of 2 completions" in error.detail) == ("unparsable_label", True)


def test_vlfeedback_parquet_copy_has_columns_and_bytes() -> None:
    completions = [rated("a", "1", "1", "1"), rated("b", "2", "2", "2")]
    columns = {name: [one[name] for one in completions] for name in completions[0]}
    record = {"id": "1", "prompt": "What?", "image": {"bytes": PNG, "path": None}, "completions": columns}
    made = convert("vlfeedback", record)
    assert (ranks(made), made.media) == ([1, 0], (MediaRef(data=PNG),))
    columns["response"].pop()
    assert "unequal length" in reason_of("vlfeedback", record).detail


def test_vlfeedback_missing_parts() -> None:
    good = vlfeedback(rated("a", "1", "1", "1"), rated("b", "2", "2", "2"))
    assert reason_of("vlfeedback", {**good, "img_path": ""}).reason == "missing_media"
    assert reason_of("vlfeedback", {**good, "completions": "none"}).reason == "wrong_field_type"
    assert reason_of("vlfeedback", {**good, "completions": [{"response": "a"}]}).detail.startswith("annotations in row")
    assert reason_of("vlfeedback", {**good, "completions": [{"annotations": {}}]}).reason == "missing_field"


def ultrafeedback(*scores: tuple[object, object]) -> dict[str, Any]:
    """One completion for each (rating of all aspects, overall score)."""
    aspects = ("instruction_following", "honesty", "truthfulness", "helpfulness")
    completions = [
        {
            "response": f"answer {number}",
            "custom_system_prompt": "You are a pirate.",
            "annotations": {name: {"Rating": rating, "Rationale": ""} for name in aspects},
            "overall_score": overall,
        }
        for number, (rating, overall) in enumerate(scores)
    ]
    return {"source": "evol_instruct", "instruction": "Do it.", "completions": completions}


def test_ultrafeedback_scores() -> None:
    record = ultrafeedback(("2", 9.0), ("5", 1.0), ("N/A", 5.0), ("2", 3.0))
    made = convert("ultrafeedback", record)
    assert (ranks(made), texts(made)) == ([1, 0, 1], ["answer 0", "answer 1", "answer 3"])
    assert made.prompt == (Turn("user", ("Do it.",)),)
    assert ranks(convert("ultrafeedback", record, score_field="overall_score")) == [0, 3, 1, 2]
    assert reason_of("ultrafeedback", record, score_field="no_score").reason == "missing_field"
    assert reason_of("ultrafeedback", ultrafeedback(("x", 1), ("inf", 1))).reason == "unparsable_label"


def test_ultrafeedback_without_completions_is_left_to_cleaning() -> None:
    assert convert("ultrafeedback", ultrafeedback()).num_responses == 0


# --- hh_rlhf ---------------------------------------------------------------------------------------------------------

HH_PROMPT = "\n\nHuman: hi\n\nAssistant: Hello!\n\nHuman: bye"


def hh(chosen: str, rejected: str) -> dict[str, Any]:
    return {"chosen": chosen, "rejected": rejected}


def test_hh_rlhf_finds_the_prompt() -> None:
    made = convert("hh_rlhf", hh(HH_PROMPT + "\n\nAssistant: See you.", HH_PROMPT + "\n\nAssistant: Go."))
    assert made.prompt == (Turn("user", ("hi",)), Turn("assistant", ("Hello!",)), Turn("user", ("bye",)))
    assert (made.id, texts(made), ranks(made)) == ("3", ["See you.", "Go."], [0, 1])


def test_hh_rlhf_awkward_records() -> None:
    twice = "\n\nHuman: a\n\nHuman: b"
    made = convert("hh_rlhf", hh(twice + "\n\nAssistant: x", twice + "\n\nAssistant:"))
    assert [turn.role for turn in made.prompt] == ["user", "user"]
    assert texts(made) == ["x", ""]
    answer = "\n\nAssistant: x"
    assert reason_of("hh_rlhf", hh(HH_PROMPT + answer, HH_PROMPT + "!" + answer)).reason == "prompts_differ"
    assert reason_of("hh_rlhf", hh(HH_PROMPT + answer, "plain text")).reason == "malformed_dialogue"
    assert reason_of("hh_rlhf", hh(HH_PROMPT + answer + "\n\nHuman: so?", "")).reason == "malformed_dialogue"
    assert reason_of("hh_rlhf", hh("no speaker" + answer, "no speaker" + answer)).reason == "malformed_dialogue"
    assert reason_of("hh_rlhf", {"chosen": HH_PROMPT + answer}).reason == "missing_field"


# --- the real sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shape", "fields", "counts"),
    [
        ("text/hh_rlhf/harmless_base_test.jsonl.gz", "hh_rlhf", FieldMap(), {"accepted": 2307, "prompts_differ": 5}),
        ("real/mllm_bench/mllm_bench.jsonl", "jsonl", FieldMap(prompt="question"), {"accepted": 1165}),
        ("real/caption_contest/caption_contest.jsonl", "jsonl", FieldMap(), {"accepted": 1076}),
    ],
)
def test_real_sets(path: str, shape: str, fields: FieldMap, counts: dict[str, int]) -> None:
    url = REAL_DATA / path
    if not url.exists():
        pytest.skip(f"{url} is not here; set BASEREWARD_REAL_DATA to the folder of the real sets")
    source = SourceConfig(name="real", path=path, shape=shape, fields=fields)
    found: Counter[str] = Counter()
    for row, record in read_rows(str(url)):
        try:
            assert isinstance(record, dict), record
            made = adapter_of(shape)(record, source, row)
            assert made.num_responses >= 2
            found["accepted"] += 1
        except RecordError as error:
            found[error.reason] += 1
    assert dict(found) == counts


# --- null is absent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "answers"),
    [
        ({"prompt": "P", "chosen": "A", "rejected": "B", "responses": None, "image": None}, ["A", "B"]),
        ({"prompt": "P", "chosen": None, "rejected": None,
          "responses": [{"text": "A", "score": None, "rank": 0, "image": None}, {"text": "B", "rank": 1}]},
         ["A", "B"]),
        ({"prompt": [{"role": "user", "content": [{"type": "text", "text": "P", "image": None}], "name": None}],
          "chosen": "A", "rejected": "B"}, ["A", "B"]),
    ],
)  # fmt: skip
def test_a_field_that_is_null_is_absent_as_parquet_has_to_write_it(record: dict[str, Any], answers: list[str]) -> None:
    made = convert("jsonl", record)
    assert texts(made) == answers and ranks(made) == [0, 1]
    assert unranked_adapter(FieldMap())(record, SourceConfig(name="mine", path="x"), 0).prompt == made.prompt


@pytest.mark.parametrize(("value", "known"), [(1.0, "1"), (float("nan"), "3"), (None, "3"), (-2.0, "-2"), (7, "7")])
def test_an_id_that_a_data_frame_made_a_float_is_an_id(value: object, known: str) -> None:
    assert convert("jsonl", {"id": value, "prompt": "P", "chosen": "A", "rejected": "B"}).id == known


@pytest.mark.parametrize("value", [1.5, True, [1], float("inf")])
def test_an_id_that_is_none_is_refused(value: object) -> None:
    error = reason_of("jsonl", {"id": value, "prompt": "P", "chosen": "A", "rejected": "B"})
    assert error.reason == "wrong_field_type"
