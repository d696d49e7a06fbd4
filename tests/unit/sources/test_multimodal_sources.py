"""Multimodal adapters on records of the true shapes, awkward ones included, and what wrong ones get."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from multimodal_records import NUMBERED_PROMPT, R1_JUDGED, RECORDS, V1_DIALOGUES

from data_pipeline.clean import check
from data_pipeline.comparison import Comparison, ImageSlot, MediaRef, Turn
from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.errors import MissingInput, RecipeError, RecordError
from data_pipeline.inspection.reasons import MEANINGS
from data_pipeline.sources.jsonl import to_unranked
from data_pipeline.sources.mmpr import files_in_meta
from data_pipeline.sources.records import inputs_of
from data_pipeline.sources.registry import adapter_of
from data_pipeline.sources.source_file import SourceFile

ROW = 3


def convert(shape: str, record: Any, **options: Any) -> list[Comparison]:
    made = adapter_of(shape)(record, SourceConfig(name="mine", path="x", shape=shape, **options), ROW)
    return [made] if isinstance(made, Comparison) else list(made)


def one(shape: str, record: Any = None, **options: Any) -> Comparison:
    (made,) = convert(shape, record if record is not None else RECORDS[shape], **options)
    return made


def refusal(shape: str, record: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        convert(shape, record)
    assert caught.value.reason in MEANINGS
    return caught.value


def answers(comparison: Comparison) -> list[tuple[str, int]]:
    return [(response.text, response.rank) for response in comparison.responses]


def pictured(text: str, num_images: int = 1) -> tuple[Turn, ...]:
    return (Turn("user", (*(ImageSlot(i) for i in range(num_images)), text)),)


def changed(record: Any, path: Sequence[str | int], value: object) -> dict[str, Any]:
    """The record with another value at `path`; `KeyError` itself removes the field."""
    copied: Any = copy.deepcopy(dict(record))
    place = copied
    for step in path[:-1]:
        place = place[step]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert isinstance(copied, dict)
    return copied


@pytest.mark.parametrize("shape", RECORDS)
def test_good_records_are_worth_learning_from(shape: str) -> None:
    for comparison in convert(shape, RECORDS[shape]):
        check(comparison)
        assert comparison.media and comparison.num_ordered_pairs > 0


# --- benchmarks ------------------------------------------------------------------------------------------------------


def test_vl_rewardbench_ranks_belong_to_places() -> None:
    made = one("vl_rewardbench")
    assert (made.id, made.prompt) == ("hallucination_pair-7", pictured("Which bird is it?"))
    assert answers(made) == [("A trout.", 1), ("A wren.", 0)]
    assert made.media == (MediaRef(path="images/hallucination_pair-7.png"),)
    from_hub = changed(RECORDS["vl_rewardbench"], ["image"], {"bytes": b"png", "path": "7.png"})
    assert one("vl_rewardbench", from_hub).media == (MediaRef(path="7.png", data=b"png"),)
    tied = changed(RECORDS["vl_rewardbench"], ["human_ranking"], [0, 0])
    assert [rank for _, rank in answers(one("vl_rewardbench", tied))] == [0, 0]


def test_mm_rlhf_video_is_a_folder_of_frames() -> None:
    made = one("mm_rlhf")
    assert made.media == (MediaRef(path="video/v1", is_video=True),)
    assert (made.prompt, answers(made)) == (pictured("What does the bird do?"), [("It sings.", 0), ("It swims.", 1)])
    for tag in ("<video>", "<image>"):
        tagged = changed(RECORDS["mm_rlhf"], ["prompt"], f"Look: {tag} What does it do?")
        assert one("mm_rlhf", tagged).prompt == (Turn("user", ("Look: ", ImageSlot(0), " What does it do?")),)


def test_mm_rlhf_image_and_ties() -> None:
    still = changed({**RECORDS["mm_rlhf"], "image": "mcq/7.png"}, ["video"], KeyError)
    assert one("mm_rlhf", still).media == (MediaRef(path="mcq/7.png"),)
    assert [rank for _, rank in answers(one("mm_rlhf", {**still, "is_tie": True}))] == [0, 0]
    assert [rank for _, rank in answers(one("mm_rlhf", {**still, "is_tie": 0}))] == [0, 1]


def test_mm_rlhf_margin_and_tables_of_both_kinds() -> None:
    def scores(margin: object, **more: object) -> list[float | None]:
        made = one("mm_rlhf", {**RECORDS["mm_rlhf"], "margin": margin, **more})
        return [response.score for response in made.responses]

    assert (scores(1.5), scores(0), scores(None)) == ([1.5, 0.0], [0.0, 0.0], [None, None])
    assert scores(1.5, is_tie=True) == [None, None]
    still = {**RECORDS["mm_rlhf"], "image": "a.png", "prompt": "A <video>?"}
    for empty in (None, ""):
        assert one("mm_rlhf", {**RECORDS["mm_rlhf"], "image": empty}).media[0].is_video
        assert one("mm_rlhf", {**still, "video": empty}).prompt == pictured("A <video>?")


def test_multimodal_rewardbench() -> None:
    made = one("multimodal_rewardbench")
    assert (made.id, answers(made)) == ("nocaps_7", [("A trout.", 1), ("A wren.", 0)])
    first = changed(RECORDS["multimodal_rewardbench"], ["Better"], "Output1")
    assert answers(one("multimodal_rewardbench", first)) == [("A trout.", 0), ("A wren.", 1)]


# --- dialogues -------------------------------------------------------------------------------------------------------


def test_sharegpt_slots_run_over_the_dialogue() -> None:
    made = one("sharegpt")
    assert made.prompt == (
        Turn("system", ("Be brief.",)),
        Turn("user", (ImageSlot(0), "Which bird is it?")),
        Turn("assistant", ("A wren.",)),
        Turn("user", ("And this?", ImageSlot(1))),
    )
    assert made.media == (MediaRef(path="birds/1.jpg"), MediaRef(path="birds/1.jpg"))
    assert (made.id, answers(made)) == ("3", [("The same one.", 0), ("A trout.", 1)])


def test_sharegpt_other_dialects() -> None:
    plain = {"messages": [{"role": "user", "content": "Hi"}], "chosen": "Hello!", "rejected": "No."}
    made = one("sharegpt", {**plain, "system": "Be kind."})
    assert made.prompt == (Turn("system", ("Be kind.",)), Turn("user", ("Hi",)))
    assert (answers(made), made.media) == ([("Hello!", 0), ("No.", 1)], ())
    said = {**plain, "chosen": {"role": "assistant", "content": "Hello!"}, "images": ["a.png", "b.png"]}
    assert one("sharegpt", said).prompt == pictured("Hi", 2)
    system_first = {**plain, "messages": [{"role": "system", "content": "x"}, *plain["messages"]], "image": "a.png"}
    assert one("sharegpt", system_first).prompt == (Turn("system", ("x",)), *pictured("Hi"))


def test_sharegpt_whole_dialogues_of_items() -> None:
    made = one("sharegpt", V1_DIALOGUES)
    assert made.prompt == (Turn("system", ("Be brief.",)), Turn("user", ("Which bird? ", ImageSlot(0))))
    assert (made.media, answers(made)) == ((MediaRef(path="birds/1.jpg"),), [("A wren.", 0), ("A trout.", 1)])
    drawn = changed(V1_DIALOGUES, ["chosen_messages", 2, "content"], [{"type": "image_url", "value": "drawn.png"}])
    made = one("sharegpt", drawn)
    assert (made.responses[0].parts, made.media[1]) == ((ImageSlot(1),), MediaRef(path="drawn.png"))
    other = changed(V1_DIALOGUES, ["rejected_messages", 1, "content", 1, "value"], "birds/2.jpg")
    assert refusal("sharegpt", other).reason == "prompts_differ"


def test_povid() -> None:
    made = one("povid")
    assert made.prompt == (Turn("user", (ImageSlot(0), "\nWhich bird is it?")),)
    assert answers(made) == [("A wren.", 0), ("A trout.", 1)]
    other = changed(RECORDS["povid"], ["rejected_conversations", 0, "value"], "<image>\nWhat?")
    assert refusal("povid", other).reason == "prompts_differ"


def test_llava_rlhf_leaves_the_old_answer_out() -> None:
    made = one("llava_rlhf")
    assert [turn.role for turn in made.prompt] == ["user", "assistant", "user"]
    assert made.prompt[2] == Turn("user", ("And its size?",))
    assert answers(made) == [("As big as a trout.", 1), ("Ten centimetres.", 0)]
    assert answers(one("llava_rlhf", {**RECORDS["llava_rlhf"], "preference": 1}))[0][1] == 0


def test_mdpo_reads_the_template_out() -> None:
    assert one("mdpo").prompt == (Turn("user", (ImageSlot(0), "\nWhich bird is it?")),)
    rounds = "USER: Hi.\nASSISTANT: Hello!</s>USER: Is <image> a wren?"
    assert one("mdpo", {**RECORDS["mdpo"], "prompt": rounds}).prompt == (
        Turn("user", ("Hi.",)),
        Turn("assistant", ("Hello!",)),
        Turn("user", ("Is ", ImageSlot(0), " a wren?")),
    )


@pytest.mark.parametrize("prompt", ["Which bird?", "USER: a USER: b", "ASSISTANT: a USER: b", "USER: a ASSISTANT: b"])
def test_mdpo_refuses_what_is_no_dialogue(prompt: str) -> None:
    error = refusal("mdpo", {**RECORDS["mdpo"], "prompt": prompt})
    assert (error.reason, "prompt in row 3" in error.detail) == ("malformed_dialogue", True)


# --- mmpr ------------------------------------------------------------------------------------------------------------


def test_mmpr_images() -> None:
    assert one("mmpr").prompt == (Turn("user", (ImageSlot(0), "\nWhich bird is it?")),)
    pair = {**RECORDS["mmpr"], "image": ["a.png", "b.png"], "question": "Is <image> like <image>?"}
    assert one("mmpr", pair).prompt == (Turn("user", ("Is ", ImageSlot(0), " like ", ImageSlot(1), "?")),)
    text_only = changed({**RECORDS["mmpr"], "question": "2 + 2?"}, ["image"], KeyError)
    assert (one("mmpr", text_only).prompt, one("mmpr", text_only).media) == ((Turn("user", ("2 + 2?",)),), ())
    assert refusal("mmpr", changed(RECORDS["mmpr"], ["image"], KeyError)).reason == "image_slot_mismatch"


def write_meta(folder: Path, meta: object) -> str:
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / "a.jsonl").write_text(json.dumps(RECORDS["mmpr"]) + "\n", encoding="utf8")
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf8")
    return str(folder / "meta.json")


def test_mmpr_meta_lists_files(tmp_path: Path) -> None:
    folder = tmp_path / "MMPR"
    elsewhere = tmp_path / "b.jsonl"
    elsewhere.write_text("", encoding="utf8")
    url = write_meta(
        folder,
        {
            "a": {"root": "images/a", "annotation": "annotations/a.jsonl", "repeat_time": 2, "length": 1},
            "b": {"root": "/pictures", "annotation": str(elsewhere), "repeat_time": 0.5, "data_augment": False},
            "c": {"root": "MMPR/images/c", "annotation": "MMPR/annotations/a.jsonl"},
        },
    )
    assert files_in_meta(url) == [
        SourceFile(f"{folder}/annotations/a.jsonl", f"{folder}/images/a", 2.0),
        SourceFile(str(elsewhere), "/pictures", 0.5),
        SourceFile(f"{folder}/annotations/a.jsonl", f"{folder}/images/c", 1.0),
    ]
    source = SourceConfig(name="mine", path="MMPR/meta.json", shape="mmpr")
    assert [file.repeat for file in inputs_of(source, str(tmp_path))] == [2.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("meta", "error", "words"),
    [
        ({"a": {"root": "i", "annotation": "gone.jsonl"}}, MissingInput, "gone.jsonl"),
        ({"a": {"root": "i"}}, MissingInput, "'a' has no annotation"),
        ({"a": {"annotation": "annotations/a.jsonl"}}, MissingInput, "'a' has no root"),
        ({"a": "annotations/a.jsonl"}, MissingInput, "'a' is str"),
        ([], MissingInput, "no index of files"),
        (
            {"a": {"root": "i", "annotation": "annotations/a.jsonl", "repeat_time": 0}},
            RecipeError,
            "repeat_time of 'a'",
        ),
        ({"a": {"root": "i", "annotation": "annotations/a.jsonl", "repeat_time": "2"}}, RecipeError, "'2'"),
    ],
)
def test_mmpr_meta_that_is_wrong(tmp_path: Path, meta: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match="meta.json") as caught:
        files_in_meta(write_meta(tmp_path, meta))
    assert words in str(caught.value)


# --- one picture and text --------------------------------------------------------------------------------------------


def test_rlhf_v_reads_json_in_a_string() -> None:
    made = one("rlhf_v", changed(RECORDS["rlhf_v"], ["image", "bytes"], b"jpg"))
    assert (made.id, made.media) == ("7", (MediaRef(path="llava/7.jpg", data=b"jpg"),))
    assert (made.prompt, answers(made)) == (pictured("Which bird is it?"), [("A wren.", 0), ("A trout.", 1)])


def test_omnialign_v() -> None:
    made = one("omnialign_v")
    assert (made.id, made.prompt) == ("chart_7", pictured("What does the chart say?"))
    several = changed(
        {**RECORDS["omnialign_v"], "question": "Both?", "image": ["a.png", "b.png"]}, ["prompt"], KeyError
    )
    assert one("omnialign_v", several).prompt == pictured("Both?", 2)


# --- images inside responses -----------------------------------------------------------------------------------------


def test_imagereward_answers_are_pictures() -> None:
    made = one("imagereward")
    assert made.prompt == (Turn("user", ("a wren on a branch, oil on canvas",)),)
    assert [response.parts for response in made.responses] == [(ImageSlot(i),) for i in range(4)]
    assert [response.rank for response in made.responses] == [0, 1, 2, 1]
    assert made.image_slots() == [0, 1, 2, 3]


def test_jsonl_responses_with_images() -> None:
    record = {
        "prompt": "<image> Draw it again.",
        "image": "seen.png",
        "responses": [
            {"text": "", "image": "a.png", "rank": 1},
            {"text": "From <image> to <image>.", "image": ["b.png", "c.png"], "rank": 0},
            {"text": "I can't see an <image>.", "rank": 2},
            {"image": {"bytes": b"d", "path": None}, "rank": 3},
        ],
    }
    made = one("jsonl", record)
    assert [response.parts for response in made.responses] == [
        (ImageSlot(1),),
        ("From ", ImageSlot(2), " to ", ImageSlot(3), "."),
        ("I can't see an <image>.",),
        (ImageSlot(4),),
    ]
    assert [media.path for media in made.media] == ["seen.png", "a.png", "b.png", "c.png", None]
    assert [response.rank for response in made.responses] == [1, 0, 2, 3]
    check(made)
    unranked = to_unranked(record, SourceConfig(name="mine", path="x"), ROW)
    assert [response.parts for response in unranked.responses] == [response.parts for response in made.responses]
    assert unranked.media == made.media


def test_jsonl_response_image_by_field_map() -> None:
    record = {"prompt": "A wren.", "responses": [{"text": "", "shown": "a.png", "score": 1}, {"text": "b", "score": 2}]}
    made = one("jsonl", record, fields=FieldMap(response_image="shown"))
    assert (made.media, made.responses[0].parts) == ((MediaRef(path="a.png"),), (ImageSlot(0),))
    uneven = changed(record, ["responses", 0], {"text": "<image><image>", "image": "a.png", "score": 1})
    error = refusal("jsonl", uneven)
    assert (error.reason, "row 3" in error.detail) == ("image_slot_mismatch", True)
    assert refusal("jsonl", changed(record, ["responses", 0], {"image": None, "score": 1})).reason == "missing_field"


# --- judges' prompts -------------------------------------------------------------------------------------------------


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


# --- what a wrong record gets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "path", "value", "reason", "field"),
    [
        ("vl_rewardbench", ["response"], "A wren.", "wrong_field_type", "response in row 3"),
        ("vl_rewardbench", ["human_ranking"], [0], "unparsable_label", "human_ranking in row 3: [0] for 2"),
        ("vl_rewardbench", ["human_ranking"], [0, "1"], "wrong_field_type", "human_ranking in row 3"),
        ("vl_rewardbench", ["image"], None, "missing_media", "image in row 3"),
        ("vl_rewardbench", ["query"], KeyError, "missing_field", "query in row 3"),
        ("mm_rlhf", ["video"], KeyError, "missing_field", "image or video in row 3"),
        ("mm_rlhf", ["video"], ["a.jpg"], "wrong_field_type", "video in row 3"),
        ("mm_rlhf", ["video"], "", "missing_media", "video in row 3"),
        ("mm_rlhf", ["margin"], -1, "unparsable_label", "margin in row 3 is -1.0"),
        ("mm_rlhf", ["margin"], "1", "wrong_field_type", "margin in row 3"),
        ("mm_rlhf", ["image"], "a.png", "image_slot_mismatch", "row 3 has both"),
        ("mm_rlhf", ["is_tie"], "maybe", "unparsable_label", "is_tie in row 3 is 'maybe'"),
        ("mm_rlhf", ["rejected"], None, "wrong_field_type", "rejected in row 3"),
        ("sharegpt", ["conversations"], KeyError, "missing_field", "conversations in row 3"),
        ("sharegpt", ["conversations", 2], "hi", "wrong_field_type", "conversations[2] in row 3"),
        ("sharegpt", ["conversations", 1, "value"], None, "wrong_field_type", "conversations[1].value in row 3"),
        ("sharegpt", ["conversations", 1, "from"], KeyError, "missing_field", "conversations[1].from in row 3"),
        ("sharegpt", ["conversations", 3, "from"], "gpt", "malformed_dialogue", "conversations in row 3 ends with"),
        ("sharegpt", ["chosen"], 5, "wrong_field_type", "chosen in row 3"),
        ("sharegpt", ["rejected", "from"], "human", "malformed_dialogue", "rejected in row 3"),
        ("sharegpt", ["images"], ["a.png"], "image_slot_mismatch", "row 3: 2 image places for 1 images"),
        ("sharegpt", ["videos"], ["a.mp4"], "unsupported_media", "videos in row 3"),
        ("multimodal_rewardbench", ["Better"], "Output3", "unparsable_label", "Better in row 3 is 'Output3'"),
        ("multimodal_rewardbench", ["Text"], KeyError, "missing_field", "Text in row 3"),
        ("mmpr", ["image"], 7, "wrong_field_type", "image in row 3"),
        ("rlhf_v", ["text"], "{", "wrong_field_type", "text in row 3: expected JSON in a string"),
        ("rlhf_v", ["text"], "[1]", "wrong_field_type", "text in row 3: expected a JSON object"),
        ("rlhf_v", ["text"], '{"question": "q"}', "missing_field", "chosen in row 3"),
        ("rlhf_v", ["image"], {"bytes": None, "path": None}, "missing_media", "image in row 3"),
        ("povid", ["rejected_conversations"], [], "malformed_dialogue", "rejected_conversations in row 3"),
        ("povid", ["image"], "", "missing_media", "image in row 3"),
        ("omnialign_v", ["prompt"], KeyError, "missing_field", "prompt in row 3"),
        ("omnialign_v", ["image"], [], "missing_media", "image in row 3"),
        ("omnialign_v", ["image"], b"", "missing_media", "image in row 3 has no bytes"),
        ("omnialign_v", ["image"], "data:image/png;base64,", "missing_media", "image in row 3 has no bytes"),
        ("imagereward", ["ranking"], [1, 2], "unparsable_label", "ranking in row 3: 2 ranks for 4 images"),
        ("imagereward", ["ranking", 1], None, "wrong_field_type", "ranking[1] in row 3"),
        ("imagereward", ["ranking", 1], float("nan"), "unparsable_label", "ranking in row 3"),
        ("imagereward", ["generations", 2], None, "wrong_field_type", "generations in row 3"),
        ("r1_reward", ["image"], KeyError, "missing_field", "image or video in row 3"),
        ("r1_reward", ["message"], "[]", "missing_field", "question in row 3"),
        ("wildvision_battles", ["winner"], None, "unparsable_label", "winner in row 3 is 'None'"),
        ("wildvision_battles", ["winner"], "model_c", "unparsable_label", "winner in row 3 is 'model_c'"),
        ("wildvision_battles", ["conversation_b"], KeyError, "missing_field", "conversation_b in row 3"),
        ("wildvision_votes", ["games"], [], "wrong_field_type", "games in row 3"),
        ("wildvision_votes", ["games", 0, "score"], KeyError, "missing_field", "score in row 3"),
        ("wildvision_votes", ["games", 0, "user_prompt"], [], "missing_media", "user_prompt.image in row 3"),
        ("mdpo", ["prompt"], ["USER: a"], "wrong_field_type", "prompt in row 3"),
        ("mdpo", ["img_path"], KeyError, "missing_field", "img_path in row 3"),
        ("llava_rlhf", ["preference"], 0, "unparsable_label", "preference in row 3 is '0'"),
        ("llava_rlhf", ["conversations", 3, "from"], "human", "malformed_dialogue", "conversations in row 3"),
        ("llava_rlhf", ["output_2"], "A wren.", "wrong_field_type", "output_2 in row 3"),
        ("llava_rlhf", ["output_1", "value"], KeyError, "missing_field", "output_1.value in row 3"),
        ("llava_critic", ["conversations"], [], "malformed_dialogue", "conversations in row 3 are []"),
        ("llava_critic", ["image"], KeyError, "missing_field", "image in row 3"),
    ],
)  # fmt: skip
def test_refusals_name_field_and_row(shape: str, path: list[str | int], value: object, reason: str, field: str) -> None:
    error = refusal(shape, changed(RECORDS[shape], path, value))
    assert error.reason == reason
    assert field in error.detail


@pytest.mark.parametrize(
    ("field", "value", "reason", "words"),
    [
        ("answer", ["<answer>3</answer>"], "unparsable_label", "answer in row 3"),
        ("answer", ["<answer>1</answer>", "<answer>2</answer>"], "unparsable_label", "answer in row 3"),
        ("message", "not json", "wrong_field_type", "message in row 3"),
        ("message", '{"role": "user"}', "wrong_field_type", "message in row 3"),
        ("message", '[{"role": "user", "content": 5}]', "wrong_field_type", "message.content in row 3"),
        ("image", "iVBORw0KGg", "broken_image", "image in row 3"),
    ],
)
def test_r1_reward_judged_refusals(field: str, value: object, reason: str, words: str) -> None:
    error = refusal("r1_reward", {**R1_JUDGED, field: value})
    assert (error.reason, words in error.detail) == (reason, True)
