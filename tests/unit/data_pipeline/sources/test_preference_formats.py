"""Pairs as TRL, ms-swift and OpenAI write them, read unchanged, with what is awkward in each."""

import base64
from typing import Any

import pytest
from adapter_checks import RECORDS, answers, changed, one, refusal
from prepared_toys import scene

from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import ImageSlot, MediaRef, Turn
from data_pipeline.sources.registry import unranked_adapter

PNG = scene(1)
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
LINK = MediaRef(path="a.png")


def turn(role: str, *content: Any) -> dict[str, Any]:
    return {"role": role, "content": content[0] if content and isinstance(content[0], str) else list(content)}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


IMAGE = {"type": "image"}
EXPLICIT = {
    "images": ["a.png"],
    "prompt": [turn("user", IMAGE, text("Who?"))],
    "chosen": [turn("assistant", text("A wren."))],
    "rejected": [turn("assistant", text("A trout."))],
}
ASKED = (Turn("user", (ImageSlot(0), "Who?")),)
WHOLE = {
    "images": ["a.png"],
    "chosen": [*EXPLICIT["prompt"], *EXPLICIT["chosen"]],
    "rejected": [*EXPLICIT["prompt"], *EXPLICIT["rejected"]],
}


# --- TRL -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        EXPLICIT,
        WHOLE,
        {**WHOLE, "prompt": "Who?"},  # a string beside dialogues is not the prompt
        {**WHOLE, "prompt": EXPLICIT["prompt"]},  # said twice
        {**EXPLICIT, "images": KeyError, "image": "a.png"},
        {**EXPLICIT, "prompt": [turn("user", "Who?")]},  # no place: before the text
        {**EXPLICIT, "prompt": [turn("user", "<image>Who?")]},
        {**EXPLICIT, "images": None, "prompt": [turn("user", {**IMAGE, "image": "a.png"}, text("Who?"))]},
        {**EXPLICIT, "images": [], "prompt": [turn("user", {**IMAGE, "path": "a.png"}, text("Who?"))]},
        {**EXPLICIT, "images": [], "prompt": [turn("user", {"type": "input_image", "image_url": "a.png"},
                                                   {"type": "input_text", "text": "Who?"})]},
        # as a table writes parts: every field of either kind, null where it is the other's
        {**EXPLICIT, "prompt": [turn("user", {**IMAGE, "text": None, "index": 0}, {**text("Who?"), "index": None})]},
    ],
)  # fmt: skip
def test_trl_with_an_image(record: dict[str, Any]) -> None:
    made = one("trl", {name: value for name, value in record.items() if value is not KeyError})
    check(made)
    assert (made.prompt, made.media, answers(made)) == (ASKED, (LINK,), [("A wren.", 0), ("A trout.", 1)])


@pytest.mark.parametrize(
    ("chosen", "rejected", "split"),
    [
        ("The sky is blue.", "The sky is green.", ("The sky is", " blue.", " green.")),
        ("The sky is blue.", "The sky is black.", ("The sky is bl", "ue.", "ack.")),
        ("Human: Hi\nAI: A", "Human: Hi\nAI: B", ("Human: Hi\nAI:", " A", " B")),
    ],
)
def test_trl_strings_part_where_they_begin_to_differ(chosen: str, rejected: str, split: tuple[str, str, str]) -> None:
    made = one("trl", {"chosen": chosen, "rejected": rejected})
    assert (made.prompt[0].parts, *(text for text, _ in answers(made))) == ((split[0],), *split[1:])
    told = one("trl", {"prompt": "The sky", "chosen": chosen, "rejected": rejected, "images": ["a.png"]})
    assert (told.prompt, answers(told)[0]) == ((Turn("user", (ImageSlot(0), "The sky")),), (chosen, 0))


def test_trl_images_in_parts_are_numbered_behind_those_of_the_record() -> None:
    made = one("trl", {
        "images": ["1.png", "2.png"],
        "prompt": [turn("system", "Be brief."), turn("user", IMAGE, {**IMAGE, "image": URL}, text("and"), IMAGE)],
        "chosen": [turn("assistant", text("Like "), {"type": "image_url", "image_url": {"url": "3.png"}})],
        "rejected": [turn("assistant", "None.")],
    })  # fmt: skip
    assert made.prompt[1].parts == (ImageSlot(0), ImageSlot(2), "and", ImageSlot(1))
    assert made.media == (MediaRef(path="1.png"), MediaRef(path="2.png"), MediaRef(data=PNG), MediaRef(path="3.png"))
    assert made.responses[0].parts == ("Like ", ImageSlot(3))


def test_trl_scores_are_kept_by_any_of_their_names() -> None:
    assert [one.score for one in one("trl").responses] == [8.5, 2.0]
    assert [one.score for one in one("trl", {**EXPLICIT, "chosen_rating": "4", "rejected_rating": None}).responses] == [
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"images": ["a.png", "b.png"]}, "image_slot_mismatch", "1 image places for 2 images"),
        ({"images": []}, "image_slot_mismatch", "1 image places for 0 images"),
        ({"prompt": [turn("user", {"type": "video", "video": "a.mp4"})]}, "unsupported_media", "prompt[0].content[0]"),
        ({"prompt": [turn("user", {**IMAGE, "image": None}, {**IMAGE, "bytes": b""})]}, "missing_media", "bytes"),
        ({"prompt": [turn("user", {"type": "input_image"})]}, "missing_media", "image_url in row 3"),
        ({"prompt": [{"role": "user"}]}, "missing_field", "prompt[0].content in row 3 of ['role']"),
        ({"prompt": [{"role": 5, "content": "Q"}]}, "wrong_field_type", "prompt[0].role in row 3"),
        ({"chosen": []}, "malformed_dialogue", "chosen in row 3 has no turns"),
        ({"chosen": [turn("user", "Q")]}, "malformed_dialogue", "chosen in row 3 does not end with an assistant"),
        ({"chosen": "A wren."}, "wrong_field_type", "chosen in row 3"),
        ({"chosen": [turn("assistant", IMAGE)]}, "image_slot_mismatch", "names no image"),
        ({"chosen": [turn("user", "Q"), turn("assistant", "A")]}, "prompts_differ", "part before the last answer"),
        ({"tools": [{"name": "search"}]}, "unread_field", "tools"),
    ],
)
def test_trl_refusals(change: dict[str, Any], reason: str, detail: str) -> None:
    error = refusal("trl", {**EXPLICIT, **change})
    assert (error.reason, detail in error.detail) == (reason, True), error


def test_trl_strings_without_a_common_beginning_have_no_prompt() -> None:
    assert refusal("trl", {"chosen": "Yes.", "rejected": "No."}).reason == "empty_prompt"


# --- ms-swift --------------------------------------------------------------------------------------------------------

SWIFT = {"messages": [turn("user", "<image>Who?"), turn("assistant", "A wren.")], "images": ["a.png"]}
OTHER = [turn("user", "<image>Who?"), turn("assistant", "A trout.")]


@pytest.mark.parametrize(
    "record",
    [
        {**SWIFT, "rejected_response": "A trout."},
        {**SWIFT, "rejected_messages": OTHER},
        {**SWIFT, "rejected_response": "A trout.", "videos": [], "audios": None, "objects": {}, "channel": "x"},
        {"messages": [turn("user", {**IMAGE, "image": "a.png"}, text("Who?")), turn("assistant", "A wren.")],
         "rejected_response": "A trout."},
        {"query": "Who?", "response": "A wren.", "rejected_response": "A trout.", "images": ["a.png"], "history": []},
    ],
)  # fmt: skip
def test_swift(record: dict[str, Any]) -> None:
    made = one("swift", record)
    check(made)
    assert (made.prompt, made.media, answers(made)) == (ASKED, (LINK,), [("A wren.", 0), ("A trout.", 1)])


def test_swift_older_dialogues() -> None:
    record = {
        "system": "Be brief.",
        "history": [["Hi", "Hello"]],
        "query": "Who?",
        "response": "A",
        "rejected_response": "B",
    }
    turns = [(one.role, *one.parts) for one in one("swift", record).prompt]
    assert turns == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Who?")]


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"rejected_images": ["b.png"]}, "prompts_differ", "rejected_images in row 3"),
        ({"rejected_messages": [turn("user", "<image>When?"), OTHER[1]]}, "prompts_differ", "row 3"),
        ({"videos": ["a.mp4"]}, "unsupported_media", "videos in row 3"),
        ({"objects": {"ref": ["bird"]}}, "unsupported_media", "objects in row 3"),
        ({"messages": [turn("user", "Who?")]}, "malformed_dialogue", "messages in row 3"),
        ({"rejected_response": ["A trout."]}, "wrong_field_type", "rejected_response in row 3"),
        ({"rejected_response": KeyError}, "missing_field", "rejected_response in row 3"),
        ({"query": "Q", "response": "A", "history": [["Hi"]]}, "wrong_field_type", "history in row 3"),
    ],
)
def test_swift_refusals(change: dict[str, Any], reason: str, detail: str) -> None:
    record = {**SWIFT, "rejected_response": "A trout.", **change}
    error = refusal("swift", {name: value for name, value in record.items() if value is not KeyError})
    assert (error.reason, detail in error.detail) == (reason, True), error


# --- OpenAI ----------------------------------------------------------------------------------------------------------


def test_openai_with_a_data_url() -> None:
    asked = turn("user", text("Who?"), {"type": "image_url", "image_url": {"url": URL, "detail": "high"}})
    made = one("openai", changed(RECORDS["openai"], ["input", "messages"], [asked]))
    check(made)
    assert (made.prompt, made.media) == ((Turn("user", ("Who?", ImageSlot(0))),), (MediaRef(data=PNG),))
    assert answers(made) == [("A wren.", 0), ("A trout.", 1)]


@pytest.mark.parametrize(
    ("path", "value", "reason", "detail"),
    [
        (["input"], [], "wrong_field_type", "input in row 3"),
        (["input", "tools"], [{"type": "function"}], "unread_field", "input.tools"),
        (["preferred_output"], [], "malformed_dialogue", "has 0 turns"),
        (["preferred_output", 0, "tool_calls"], [{"id": "1"}], "unread_field", "tool_calls"),
        (["input", "messages", 0, "content", 1, "image_url"], {"url": 7}, "wrong_field_type", "url in row 3"),
        (["input", "messages", 0, "content", 1, "image_url"], {"url": "data:image/a;base64,%"}, "broken_image", "row"),
        (["input", "messages", 0, "content", 1], {"type": "input_audio", "input_audio": {"data": "AA"}},
         "unsupported_media", "input.messages[0].content[1]"),
    ],
)  # fmt: skip
def test_openai_refusals(path: list[str | int], value: object, reason: str, detail: str) -> None:
    error = refusal("openai", changed(RECORDS["openai"], path, value))
    assert (error.reason, detail in error.detail) == (reason, True), error


# --- records of one's own --------------------------------------------------------------------------------------------


def test_records_to_score_may_hold_their_images_in_parts() -> None:
    record = {"prompt": [turn("user", {"type": "image_url", "image_url": {"url": URL}}, text("Who?"))],
              "responses": ["A wren."]}  # fmt: skip
    made = unranked_adapter(FieldMap())(record, SourceConfig(name="mine", path="x"), 0)
    assert (made.prompt, made.media) == (ASKED, (MediaRef(data=PNG),))
