"""Records of one prompt as one Comparison: which belong together, what is kept of each, and what stays as it was."""

import io
import json
import pickle
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from data_pipeline.config import PreprocessConfig, RulesConfig, SourceConfig, SplitConfig
from data_pipeline.dataset.grouped import GroupedData
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData, RecipeError, RunError
from data_pipeline.filtering.gather import count_groups
from data_pipeline.inspection.places import read_place
from data_pipeline.inspection.summary import summarise
from data_pipeline.pipeline import prepare


def pair(name: str, chosen: str, rejected: str, prompt: str = "What is it?", image: str | None = "0.png") -> Any:
    found = {"id": name, "prompt": prompt, "chosen": chosen, "rejected": rejected}
    return found | ({"image": image} if image else {})


def ranked(name: str, *scored: tuple[Any, int]) -> Any:
    responses = [(one if isinstance(one, dict) else {"text": one}) | {"score": score} for one, score in scored]
    return {"id": name, "prompt": "What is it?", "image": "0.png", "responses": responses}


RECORDS = [
    pair("bus over dog", "A bus.", "A dog."),
    pair("another picture", "A bus.", "A dog.", image="1.png"),
    pair("dog over cat", "A dog.", "A cat."),
    pair("contradiction", "A dog.", "A bus."),
    pair("no picture", "A bus.", "A dog.", image=None),
    ranked("three", ("A cat.", 2), ("A bus.", 1), ("A wren.", 1)),
    pair("other letters", "A bus.", "A dog.", prompt="WHAT is it?"),
    pair("bus over dog again", "A bus.", "A dog."),
    ranked("picture answers", ({"text": "", "image": "1.png"}, 1), ({"text": "", "image": "0.png"}, 0)),
    ranked("picture or bus", ("A bus.", 5), ({"text": "", "image": "1.png"}, 3)),
]
TOGETHER = ["bus over dog", "contradiction", "dog over cat", "picture answers", "picture or bus", "three"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("grouping")
    for seed in range(2):
        pixels = np.random.default_rng(seed).integers(0, 256, (56, 56, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, "PNG")
        (data / f"{seed}.png").write_bytes(buffer.getvalue())
    train_tokenizer(["What is it? A bus. A dog. A cat. A wren."], 300, str(data / "model"))
    write(data / "records.jsonl", RECORDS)
    return data


def write(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def recipe(folder: Path, name: str, **changed: Any) -> PreprocessConfig:
    config = PreprocessConfig(
        sources=[SourceConfig(name="votes", path="records.jsonl")],
        data_root=str(folder), output=str(folder / name), tokenizer=str(folder / "model"), rows_per_unit=2,
        split=SplitConfig(heldout_fraction=0.0), group_prompts=True,
    )  # fmt: skip
    return replace(config, **changed)


def grouped(config: PreprocessConfig) -> GroupedData:
    prepare(config)
    return GroupedData(PreparedData.open(config.output))


def ids_of(data: GroupedData) -> list[list[str]]:
    names = data.data.all_rows["id"].to_pylist()
    return [sorted(names[row] for row in rows) for rows in data.table["records"].to_pylist()]


def said_by(item: EncodedComparison) -> dict[str, list[tuple[bytes, int, float | None]]]:
    """What each record says: its responses by their tokens, with rank and score."""
    return {
        one.id: [
            (item.response_ids[place].tobytes(), rank, score)
            for place, rank, score in zip(one.responses, one.ranks, one.scores, strict=True)
        ]
        for one in item.judged
    }


@pytest.fixture(scope="module")
def whole(folder: Path) -> GroupedData:
    return grouped(recipe(folder, "whole"))


def test_the_same_prompt_and_picture_in_one_source_is_one(whole: GroupedData) -> None:
    assert sorted(ids_of(whole)) == sorted([TOGETHER, ["another picture"], ["no picture"], ["other letters"]])


def test_every_judgement_stays_and_equal_answers_are_joined(whole: GroupedData) -> None:
    place = ids_of(whole).index(TOGETHER)
    item = pickle.loads(pickle.dumps(whole)).encoded(place)
    assert len(item.response_ids) == 6  # four texts and two pictures
    assert len({(ids.tobytes(), *item.images[1:][-2:]) for ids in item.response_ids}) == 5  # pictures are equal tokens
    rows = whole.data.all_rows["id"].to_pylist()
    separate = {name: whole.data.encoded_row(rows.index(name)) for name in TOGETHER}
    for name, said in said_by(item).items():
        assert said == said_by(separate[name])[name]
    assert set(said_by(item)) == set(TOGETHER)
    assert [len(one.responses) for one in item.judged if one.id == "three"] == [3]
    assert item.num_tokens < sum(one.num_tokens for one in separate.values()) / 3
    shown = {image.key for one in separate.values() for image in one.images}
    assert len(item.images) == 3 and {image.key for image in item.images} == shown
    assert whole.table["response_lengths"].to_pylist()[place] == [len(ids) for ids in item.response_ids]
    assert sum(whole.table["image_patches"].to_pylist()[place]) == sum(image.num_patches for image in item.images)
    assert all(image.data for image in item.images)


def test_pictures_of_answers_follow_their_answers(whole: GroupedData) -> None:
    item = whole.encoded(ids_of(whole).index(TOGETHER))
    spans = whole.table["response_spans"].to_pylist()[ids_of(whole).index(TOGETHER)]
    ends = np.cumsum([1, *spans])
    rows = whole.data.all_rows["id"].to_pylist()
    for name in ("picture answers", "picture or bus"):
        alone = whole.data.encoded_row(rows.index(name))
        (said,) = [one for one in item.judged if one.id == name]
        keys = [image.key for place in said.responses for image in item.images[ends[place] : ends[place + 1]]]
        assert keys == [image.key for image in alone.images[1:]]


def test_a_group_of_one_record_is_that_record(whole: GroupedData) -> None:
    place = ids_of(whole).index(["no picture"])
    item = whole.encoded(place)
    assert (item.id, item.judgements, item.ranks) == ("no picture", (), (0, 1))


def test_counts_add_up_and_the_manifest_says_how_many_groups(whole: GroupedData) -> None:
    manifest = whole.data.manifest
    votes = manifest.counts.by_source["votes"]
    assert (votes.seen, votes.kept, votes.refused, votes.shown, votes.groups) == (10, 9, 1, 9, 4)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.groups_file is not None and manifest.groups_file.name in str(manifest.files("x"))
    with pytest.raises(RunError, match="9 Comparisons are kept, but 3 are in the groups"):
        count_groups(whole.table.slice(1), manifest.counts)


def test_the_summary_counts_groups_and_what_they_compute(folder: Path, whole: GroupedData) -> None:
    place = read_place(str(folder / "whole"))
    refused = place.refused()
    apart = summarise(place.manifest, whole.data.all_rows, refused)
    summary = summarise(place.manifest, whole.data.all_rows, refused, whole.table)
    assert all(check.holds for check in summary.checks) and len(summary.checks) == len(apart.checks) + 3
    assert (summary.total.groups, summary.by_source["votes"].groups, summary.total.kept) == (4, 4, 9)
    assert (summary.budgets.pairs, summary.budgets.tokens_apart) == (apart.budgets.pairs, apart.budgets.tokens_apart)
    items = [whole.encoded(place) for place in whole.epoch_indices("train").tolist()]
    assert summary.budgets.tokens == sum(item.num_tokens for item in items) < apart.budgets.tokens
    assert summary.budgets.images == sum(len(item.images) for item in items) < apart.budgets.images
    fewer = summarise(place.manifest, whole.data.all_rows, refused, whole.table.slice(1))
    assert {check.what for check in fewer.checks if not check.holds} == {
        "kept, in groups of one prompt", "shown, in groups of one prompt", "groups of votes",
    }  # fmt: skip


def test_off_is_as_before_and_on_changes_no_shard(folder: Path, whole: GroupedData) -> None:
    off = prepare(recipe(folder, "off", group_prompts=False))
    assert off.groups_file is None and b"group" not in off.to_json()
    assert off.shards == whole.data.manifest.shards
    assert off.rows_file.sha256 == whole.data.manifest.rows_file.sha256
    units = {path.name: path.stat().st_mtime_ns for path in (folder / "off" / "units").iterdir()}
    on = prepare(recipe(folder, "off"))
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "off" / "units").iterdir()} == units
    assert on.to_json() == whole.data.manifest.to_json()


def test_the_order_of_records_and_the_cut_into_units_change_no_group(folder: Path, whole: GroupedData) -> None:
    records = [one for one in RECORDS if one["id"] != "bus over dog again"]
    random.Random(1).shuffle(records)
    write(folder / "shuffled.jsonl", records)
    source = SourceConfig(name="votes", path="shuffled.jsonl")
    other = grouped(recipe(folder, "shuffled", sources=[source], rows_per_unit=100))
    columns = ["id", "response_lengths", "image_patches", "judged_counts", "judged", "ranks"]
    both = [data.table.select(columns).to_pylist() for data in (whole, other)]
    assert sorted(both[0], key=str) == sorted(both[1], key=str)


def test_groups_keep_to_one_source_and_one_number_of_repeats(folder: Path, whole: GroupedData) -> None:
    write(folder / "more.jsonl", [pair("elsewhere", "A wren.", "A dog.")])
    sources = [SourceConfig(name="votes", path="records.jsonl", repeat=1.5), SourceConfig(name="b", path="more.jsonl")]
    data = grouped(recipe(folder, "sources", sources=sources))
    rows = data.data.all_rows.to_pylist()
    for group in data.table.to_pylist():
        for name in ("source", "split", "repeats", "dropped_turns"):
            assert len({rows[row][name] for row in group["records"]}) == 1
    assert ["elsewhere"] in ids_of(data)
    shown = sum(len(one["records"]) * one["repeats"] for one in data.table.to_pylist())
    assert shown == sum(one.shown for one in data.data.manifest.counts.by_source.values())
    assert sum(len(data.table["records"][place]) for place in data.epoch_indices("train")) == shown


@pytest.mark.parametrize(
    ("bound", "most"), [({"group_max_responses": 3}, 3), ({"group_max_tokens": 75}, 6), ({"group_max_tokens": 1}, 3)]
)
def test_groups_are_bounded(folder: Path, whole: GroupedData, bound: dict[str, int], most: int) -> None:
    data = grouped(recipe(folder, "whole", **bound))
    assert sorted(name for ids in ids_of(data) for name in ids) == sorted(name for ids in ids_of(whole) for name in ids)
    several = [one for one in data.table.to_pylist() if len(one["records"]) > 1]
    assert all(len(one["response_lengths"]) <= most for one in data.table.to_pylist())
    tokens = bound.get("group_max_tokens", 8192)
    assert all(one["prefix_length"] + sum(one["response_lengths"]) <= tokens for one in several)
    assert len(data) > len(whole) and bool(several) == (tokens > 1)


def test_prompts_that_are_cut_otherwise_stay_apart(folder: Path) -> None:
    turns = [
        {"role": "user", "content": "A bus. A dog. A cat."},
        {"role": "assistant", "content": "A wren."},
        {"role": "user", "content": "What is it?"},
    ]
    texts = [("A bus.", "A dog."), ("A cat.", "A wren."), ("A bus. " * 20, "A cat.")]
    records = [
        {"id": str(number), "prompt": turns, "chosen": chosen, "rejected": rejected}
        for number, (chosen, rejected) in enumerate(texts)
    ]
    write(folder / "turns.jsonl", records)
    source, rules = SourceConfig(name="turns", path="turns.jsonl"), RulesConfig(max_tokens=130)
    data = grouped(recipe(folder, "turns", sources=[source], rules=rules))
    assert data.data.all_rows["dropped_turns"].to_pylist() == [0, 0, 2]
    assert sorted(ids_of(data)) == [["0", "1"], ["2"]]
    for place in range(2):
        assert len(data.encoded(place).prefix_ids) == data.table["prefix_length"][place].as_py()


def test_a_bound_that_nothing_reads_is_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match="preprocess.group_max_responses=4 is read where Comparisons are grouped"):
        prepare(recipe(folder, "unread", group_prompts=False, group_max_responses=4))


def test_a_table_that_does_not_fit_the_shards_is_named(whole: GroupedData) -> None:
    broken = GroupedData(whole.data)
    columns = whole.table.to_pylist()
    place = ids_of(whole).index(TOGETHER)
    columns[place]["judged_counts"][0] += 1
    broken.table = whole.table.from_pylist(columns, schema=whole.table.schema)
    with pytest.raises(CorruptData, match=f"group {place} of .* is not as its table says"):
        broken.encoded(place)
