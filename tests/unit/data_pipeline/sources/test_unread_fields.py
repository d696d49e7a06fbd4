"""No part of a record is lost unseen: every field is read, known to mean nothing, counted, or it refuses the record."""

import base64
import json
from typing import Any

import pytest
from adapter_checks import RECORDS, changed, convert, refusal
from prepared_toys import scene

from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.accounting import MAX_NAMES, OTHERS, UnreadFields
from data_pipeline.sources.parsing.watched import unread_in, watched
from data_pipeline.sources.registry import MAX_ADVISED, SHAPES, adapter_of, unranked_adapter

PNG_TEXT = base64.b64encode(scene(1)).decode()
PAIR = {"prompt": "What is in it?", "chosen": "A patch.", "rejected": "A boat."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def messages(chosen: dict[str, Any], rejected: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"chosen": [user("What?"), chosen], "rejected": [user("What?"), rejected], **more}


DIALOGUES = messages(said("A patch."), said("A boat."))
HELPSTEER3 = {"context": [user("Name it.")], "response1": "A patch.", "response2": "A boat.", "overall_preference": -2}


@pytest.mark.parametrize(
    ("shape", "record", "path"),
    [
        ("jsonl", {**PAIR, "images": ["images/a.png"]}, "images"),
        ("messages", {**DIALOGUES, "images": ["images/a.png"]}, "images"),
        ("rewardbench", {**PAIR, "id": 5, "image": "images/a.png", "subset": "x"}, "image"),
        ("helpsteer3", {**HELPSTEER3, "images": ["images/a.png"]}, "images"),
        ("ultrafeedback", {"instruction": "Q", "image": "a.png", "completions": []}, "image"),
        ("jsonl", {**PAIR, "image": "a.png", "second_image": "b.png"}, "second_image"),
        ("jsonl", {**PAIR, "imagePath": "a"}, "imagePath"),
        ("jsonl", {**PAIR, "IMAGE_URLS": ["https://example.org/1"]}, "IMAGE_URLS"),
        ("jsonl", {**PAIR, "image_0": {"bytes": b"\x89PNG", "path": None}}, "image_0"),
        ("jsonl", {**PAIR, "attachment": "scans/7.JPG"}, "attachment"),
        ("jsonl", {**PAIR, "attachment": "scans/7.webp?size=2#x"}, "attachment"),
        ("jsonl", {**PAIR, "meta": {"where": [{"deep": ["data:image/png;base64,AAAA"]}]}}, "meta"),
        ("jsonl", {**PAIR, "blob": b"\xff\xd8\xff\xe0 and more"}, "blob"),
        ("jsonl", {**PAIR, "clip": "talk.mp4"}, "clip"),
        ("jsonl", {**PAIR, "extra_info": json.dumps({"images": ["scans/7.png"]})}, "extra_info"),
        ("jsonl", {**PAIR, "meta": {"raw": json.dumps([{"photo": "scans/7"}])}}, "meta"),
        ("jsonl", {**PAIR, "visual": PNG_TEXT}, "visual"),
        ("jsonl", {**PAIR, "visual": f"data:application/octet-stream;base64,{PNG_TEXT}"}, "visual"),
        ("jsonl", {**PAIR, "visual": PNG_TEXT.replace("+", "-").replace("/", "_")}, "visual"),
        ("jsonl", {**PAIR, "screenshot": "screens/1"}, "screenshot"),
        ("jsonl", {**PAIR, "audio": {"array": [0.1], "path": "a.wav"}}, "audio"),
        ("jsonl", {"prompt": "Q", "responses": [{"text": "A", "score": 1, "picture": "x"}, {"text": "B", "score": 0}]},
         "responses.picture"),
        ("sharegpt", changed(RECORDS["sharegpt"], ["image"], "b.png"), "image"),
        ("messages", {**DIALOGUES, "prompt": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}]},
         "prompt.content"),
        ("jsonl", {**PAIR, "prompt": [{"role": "user", "content": [{"type": "text", "text": "What is it?",
                                                                    "image": "a.png"}]}]},
         "prompt.content.image"),
        ("trl", {**DIALOGUES, "chosen": [user("What?"), said([{"type": "image", "image": "a.png", "url": "b.png"}])]},
         "chosen.content.url"),
        ("swift", {"messages": [user("What?"), said("A patch.")], "rejected_response": "A boat.", "image": "a.png"},
         "image"),
        ("rlhf_v", {"image": "a.png", "text": json.dumps({"question": "Q", "chosen": "A", "rejected": "B",
                                                          "image_2": "b.png"})}, "text.image_2"),
    ],
)  # fmt: skip
def test_media_that_is_not_read_refuses_the_record(shape: str, record: dict[str, Any], path: str) -> None:
    error = refusal(shape, record)
    assert (error.reason, error.detail.split(" in row 3 ")[0]) == ("unread_media", path)
    assert f"by shape {shape}" in error.detail


@pytest.mark.parametrize(
    ("shape", "record", "path"),
    [
        ("messages", messages(said("Doing it.", tool_calls=[{"function": {"name": "on"}}]), said("Will do.")),
         "chosen.tool_calls"),
        ("messages", messages(said("Yes."), said("No.", function_call={"name": "off", "arguments": "{}"})),
         "rejected.function_call"),
        ("messages", messages(said("4", reasoning_content="2 and 2 are 4."), said("5")), "chosen.reasoning_content"),
        ("messages", {**DIALOGUES, "tools": '[{"name": "lamp"}]'}, "tools"),
        ("jsonl", {**PAIR, "system": "Answer in French."}, "system"),
        ("jsonl", {**PAIR, "systemPrompt": "Answer in French."}, "systemPrompt"),
        ("jsonl", {**PAIR, "history": [["Hi", "Hello"]]}, "history"),
        ("jsonl", {**PAIR, "conversation_history": [user("Hi")]}, "conversation_history"),
        ("jsonl", {**PAIR, "chosen_tool_calls": '[{"name": "lamp"}]'}, "chosen_tool_calls"),
        ("jsonl", {**PAIR, "prompt": [{**user("Q"), "tool_calls": [{"name": "x"}]}]}, "prompt.tool_calls"),
        ("jsonl", {"prompt": "Q", "responses": [{"text": "A", "score": 1, "tool_calls": ["x"]},
                                                {"text": "B", "score": 0}]},
         "responses.tool_calls"),
        ("sharegpt", changed(RECORDS["sharegpt"], ["tools"], [{"name": "x"}]), "tools"),
        ("helpsteer3", {**HELPSTEER3, "context": [{**user("Q"), "function_call": {"name": "x"}}]},
         "context.function_call"),
    ],
)  # fmt: skip
def test_a_part_of_the_conversation_that_is_not_read_refuses_the_record(
    shape: str, record: dict[str, Any], path: str
) -> None:
    error = refusal(shape, record)
    assert (error.reason, error.detail.split(" in row 3 ")[0]) == ("unread_field", path)


@pytest.mark.parametrize(
    "more",
    [
        {"images": []},
        {"images": None},
        {"image_url": ""},
        {"videos": [None]},
        {"has_image": True},
        {"num_images": 2},
        {"image_width": 640},
        {"image_id": "COCO_7"},
        {"image_caption": "A patch of snow."},
        {"image_source": "COCO"},
        {"images": [{"bytes": None, "path": None}]},
        {"photo": "no"},
        {"note": "Save it as plot.png"},
        {"hash": b"\x00\x01"},
        {"md5": "Qk0" + 21 * "A"},
        {"raw": '{"note": "plot it", "tags": ["snow"], "num_images": 2}'},
        {"raw": '{"image": "cut'},
        {"raw": '{"image": null, "images": []}'},
        {"words": "iVBORw0KGgo is how the text of a PNG begins, " * 4},
        {"tools": "[]"},
        {"tools": []},
        {"system": ""},
        {"tool_calls": [{}]},
        {"toolset": "hammer"},
        {"reasoning": "The judge found the first one right."},
        {"image": "a.png", "image_path": "elsewhere/a.png"},
        {"image": {"bytes": b"\x89PNG", "path": None}, "image_path": "elsewhere/b.png"},
    ],
)
def test_what_says_nothing_is_kept_and_counted(more: dict[str, Any]) -> None:
    unread = UnreadFields()
    source = SourceConfig(name="mine", path="x")
    assert isinstance(adapter_of("jsonl", unread)({**PAIR, **more}, source, 3), Comparison)
    names = [name for name, value in more.items() if value is not None and name != "image"]
    assert dict(unread) == dict.fromkeys(names, 1)


@pytest.mark.parametrize("shape", sorted(set(SHAPES) & set(RECORDS)))
def test_every_field_of_a_shapes_own_record_is_read_or_known(shape: str) -> None:
    unread = UnreadFields()
    adapter_of(shape, unread)(RECORDS[shape], SourceConfig(name="mine", path="x", shape=shape), 3)
    assert not unread


@pytest.mark.parametrize("shape", sorted(set(SHAPES) & set(RECORDS)))
def test_no_shape_loses_a_picture_beside_its_record(shape: str) -> None:
    error = refusal(shape, changed(RECORDS[shape], ["an_extra_picture"], "unseen.png"))
    assert (error.reason, "an_extra_picture" in error.detail) == ("unread_media", True)


def test_ignored_fields_are_neither_refused_nor_counted() -> None:
    unread = UnreadFields()
    names = FieldMap(ignored=["thumbnail", "meta.*", "meta", "chosen.tool_calls"])
    record = {**PAIR, "thumbnail": "a.png", "meta": {"image": "b.png"}, "votes": 7}
    source = SourceConfig(name="mine", path="x", fields=names)
    adapter_of("jsonl", unread)(record, source, 3)
    assert dict(unread) == {"votes": 1}
    assert convert("messages", messages(said("A", tool_calls=["x"]), said("B")), fields=names)


def test_records_to_score_are_read_by_the_same_rule() -> None:
    read = unranked_adapter(FieldMap())
    source = SourceConfig(name="score", path="x")
    for more in ({"images": ["a.png"]}, {"video": "v.mp4"}, {"system": "Be brief."}):
        with pytest.raises(RecordError, match="unread_"):
            read({**PAIR, **more}, source, 0)
    unread = UnreadFields()
    scored = {"prompt": "Q", "responses": [{"text": "A", "score": 1}], "rewards": [0.5], "error": "gone", "topic": "x"}
    assert unranked_adapter(FieldMap(), unread)(scored, source, 0).num_responses == 1
    assert dict(unread) == {"topic": 1}


# --- what to do instead ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "record", "words"),
    [
        ("jsonl", {**PAIR, "images": ["a.png"]}, ["shape jsonl with fields {image: images} reads it"]),
        ("rewardbench", {**PAIR, "image": "a.png"}, ["shape jsonl reads it"]),
        ("jsonl", DIALOGUES, ["missing_field: prompt in row 3", "shape messages reads it"]),
        ("ultrafeedback", PAIR, ["missing_field: instruction", "shape jsonl reads it"]),
        ("messages", {**DIALOGUES, "images": ["a.png"]}, ["shape trl reads it"]),
        ("messages", {**DIALOGUES, "video": "a.mp4"}, ["no shape reads it: write it for shape jsonl"]),
        ("jsonl", RECORDS["trl"], ["images in row 3", "shape trl reads it"]),
        ("messages", RECORDS["trl"], ["chosen[0].content in row 3", "shape trl reads it"]),
        ("sharegpt", RECORDS["trl"], ["shape trl reads it"]),
        ("sharegpt", RECORDS["swift"], ["messages in row 3", "shape swift reads it"]),
        ("jsonl", RECORDS["swift"], ["prompt in row 3", "shape swift reads it"]),
        ("jsonl", RECORDS["openai"], ["prompt in row 3", "shape openai reads it"]),
        ("helpsteer3", {**HELPSTEER3, "context": [{"role": "user", "content": [{"type": "text", "text": "Q"}]}]},
         ["context[0].content in row 3"]),
    ],
)  # fmt: skip
def test_a_refusal_names_the_shape_that_would_read_the_record(
    shape: str, record: dict[str, Any], words: list[str]
) -> None:
    error = refusal(shape, record)
    assert [word for word in words if word not in str(error)] == []


def test_a_refusal_that_no_shape_cures_says_no_more_than_before() -> None:
    assert refusal("jsonl", {"prompt": "Q", "chosen": "A"}).detail == "rejected in row 3 of ['chosen', 'prompt']"


def test_only_the_first_refusals_of_a_unit_are_looked_at_further() -> None:
    adapter = adapter_of("jsonl")
    found = []
    for row in range(MAX_ADVISED + 1):
        with pytest.raises(RecordError) as caught:
            adapter({**PAIR, "images": ["a.png"]}, SourceConfig(name="s", path="s"), row)
        found.append(caught.value.detail.endswith("reads it"))
    assert found == [True] * MAX_ADVISED + [False]


# --- counting --------------------------------------------------------------------------------------------------------


def test_reading_is_noted_at_every_depth() -> None:
    record = watched({"a": {"x": 1, "y": [{"p": 1, "q": 2}, {"q": None}]}, "b": 2, "c": {"d": 1}})
    assert record["a"]["y"][0]["p"] == 1
    assert [one.path for one in unread_in(record)] == ["b", "c", "a.x", "a.y.q"]
    tree: dict[str, Any] = {"text": "leaf"}
    for _ in range(5000):
        tree = {"replies": [tree]}
    deep = watched(tree)
    at = deep
    while "replies" in at:
        [at] = at["replies"]
    assert [one.path for one in unread_in(deep)] == ["replies.text"]


def test_counts_are_bounded_and_printable() -> None:
    unread = UnreadFields()
    for number in range(3 * MAX_NAMES):
        unread.note([f"key_{number}", f"key_{number}", "often"])
    assert len(unread) == MAX_NAMES + 1
    assert (unread["often"], unread[OTHERS]) == (3 * MAX_NAMES, 2 * MAX_NAMES + 1)
    unread.note(["\x1b[2J\udc80" + "x" * 1000])
    merged = UnreadFields.merged([unread, {"often": 1, "rare": 1}])
    assert len(merged) == MAX_NAMES + 1 and merged["often"] == 3 * MAX_NAMES + 1
    assert sum(merged.values()) == unread.total() + 2
    other = UnreadFields()
    other.note(["\x1b[2J\udc80" + "x" * 1000])
    [name] = other
    assert name.isprintable() and len(name) < 120 and name.encode()
