"""Multimodal adapters on records of the true shapes, awkward ones included."""

import json
import zipfile
from pathlib import Path

import pytest
from adapter_checks import ROW, answers, changed, convert, one, pictured, refusal
from multimodal_records import RECORDS, V1_DIALOGUES

from data_pipeline import storage
from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import ImageSlot, MediaRef, Turn
from data_pipeline.sources.adapters.mmpr import files_in_meta
from data_pipeline.sources.inputs import inputs_of
from data_pipeline.sources.readers.files import SourceFile
from data_pipeline.sources.registry import unranked_adapter


@pytest.mark.parametrize("shape", [one for one in RECORDS if one != "answered"])  # one answer is no preference
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
    url = write_meta(
        folder,
        {
            "a": {"root": "images/a", "annotation": "annotations/a.jsonl", "repeat_time": 2, "length": 1},
            "b": {"root": "pictures", "annotation": "annotations/b.jsonl", "repeat_time": 0.5, "data_augment": False},
            "c": {"root": "MMPR/images/c", "annotation": "MMPR/annotations/a.jsonl"},
        },
    )
    (folder / "annotations" / "b.jsonl").write_text("", encoding="utf8")
    assert files_in_meta(url) == [
        SourceFile(f"{folder}/annotations/a.jsonl", f"{folder}/images/a", 2.0),
        SourceFile(f"{folder}/annotations/b.jsonl", f"{folder}/pictures", 0.5),
        SourceFile(f"{folder}/annotations/a.jsonl", f"{folder}/images/c", 1.0),
    ]
    source = SourceConfig(name="mine", path="MMPR/meta.json", shape="mmpr")
    assert [file.repeat for file in inputs_of(source, str(tmp_path))] == [2.0, 0.5, 1.0]


@pytest.mark.parametrize("field", ["root", "annotation"])
@pytest.mark.parametrize(
    "path",
    ["/etc", "../../secret", "images/../../secret", "webhdfs://127.0.0.1:9702/", "ftp://127.0.0.1/a", "s3://private/a",
     "file:///etc/passwd", "C:\\a", "a\\..\\..\\b", "out/a", "MMPR/out/a"],
)  # fmt: skip
def test_an_index_that_names_places_outside_its_folder_is_not_followed(tmp_path: Path, field: str, path: str) -> None:
    folder = tmp_path / "MMPR"
    entry = {"root": "images/a", "annotation": "annotations/a.jsonl"} | {field: path}
    url = write_meta(folder, {"a": entry})
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(MissingInput, match=f"the {field} of 'a' is not followed"):
        files_in_meta(url)


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
    unranked = unranked_adapter(FieldMap())(record, SourceConfig(name="mine", path="x"), ROW)
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


def test_mmpr_meta_finds_files_in_the_published_archives(tmp_path: Path) -> None:
    folder = tmp_path / "MMPR"
    folder.mkdir()
    for name, member in (("annotations", "annotations/a.jsonl"), ("images", "images/a/7.png")):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            archive.writestr(member, b"{}\n")
    url = str(folder / "meta.json")
    meta = {"a": {"root": "MMPR/images/a", "annotation": "MMPR/annotations/a.jsonl"}}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf8")
    (found,) = files_in_meta(url)
    assert found.url == f"{folder}/annotations.zip/annotations/a.jsonl"
    assert found.media_root == f"{folder}/images.zip/images/a"
    assert storage.exists(f"{found.media_root}/7.png")
