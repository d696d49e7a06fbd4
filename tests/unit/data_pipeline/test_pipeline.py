"""The whole preprocessing on small files: counts, resumption, byte equality, and refusal to mix."""

import io
import json
import pickle
import shutil
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from data_pipeline.config import (
    DecontaminateConfig,
    EncodeConfig,
    FieldMap,
    MediaConfig,
    MixtureConfig,
    PreprocessConfig,
    RulesConfig,
    SourceConfig,
    SplitConfig,
)
from data_pipeline.dataset.layout import MANIFEST
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData, MissingInput, RecipeError, RunError
from data_pipeline.pipeline import finish, is_finished, plan_units, prepare, run_unit
from data_pipeline.records.comparison import ImageSlot
from data_pipeline.transform.planning import portable_config

NUM_PAIRS = 20
REFUSED = {"broken_image": 1, "duplicate": 2, "empty_response": 1, "malformed_record": 1, "missing_media": 1}


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def config(tmp_path: Path) -> PreprocessConfig:
    """Pairs with images, K = 3 records of text, planted faults, and duplicates within and across sources."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for i in range(5):
        (data / "images" / f"{i}.png").write_bytes(png(i))
    (data / "images" / "cut.png").write_bytes(png(9)[:200])
    pairs = [
        {"id": f"p{i}", "prompt": f"What {i}?", "image": f"images/{i % 5}.png", "chosen": "a", "rejected": "b"}
        for i in range(NUM_PAIRS)
    ]
    faults = [
        {**pairs[0], "image": "images/cut.png"},
        {**pairs[0], "image": "images/gone.png"},
        {**pairs[0], "chosen": ""},
        {**pairs[0], "id": "again"},
    ]
    lines = [json.dumps(record) for record in [*pairs, *faults]]
    (data / "pairs.jsonl").write_text("\n".join([*lines[:7], "", "{broken", *lines[7:]]) + "\n")
    ranked = [
        {"prompt": f"Say {i}", "responses": [{"text": t, "score": s} for t, s in (("x", 1), ("y", 2), ("z", 1))]}
        for i in range(6)
    ]
    (data / "ranked.jsonl").write_text("\n".join(json.dumps(r) for r in [*ranked, ranked[0]]) + "\n")
    train_tokenizer(["What is it? Say x, y or z."], 300, str(tmp_path / "model"))
    return PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl"), SourceConfig(name="ranked", path="ranked.jsonl")],
        data_root=str(data),
        output=str(tmp_path / "out"),
        tokenizer=str(tmp_path / "model"),
        rows_per_unit=6,
        split=SplitConfig(heldout_fraction=0.4),
    )


def files_of(folder: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def stamps_of(folder: str) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in Path(folder).rglob("*") if p.is_file()}


def quarantine(config: PreprocessConfig) -> list[dict[str, Any]]:
    name = Manifest.read(config.output).quarantine_file.name
    return [json.loads(line) for line in (Path(config.output) / name).read_text().splitlines()]


def test_seen_is_kept_and_refused(config: PreprocessConfig) -> None:
    counts = prepare(config).counts
    assert (counts.seen, counts.kept, counts.refused) == (32, 26, 6)
    assert counts.refused_by_reason == REFUSED
    assert (counts.by_source["pairs"].seen, counts.by_source["pairs"].kept) == (25, 20)
    assert (counts.by_source["ranked"].seen, counts.by_source["ranked"].refused) == (7, 1)
    assert sum(counts.by_split.values()) == 26
    lines = quarantine(config)
    broken = lines[0]
    assert (broken["source"], broken["path"], broken["row"], broken["reason"]) == (
        "pairs", "pairs.jsonl", 8, "malformed_record",
    )  # fmt: skip
    assert [line["id"] for line in lines[-2:]] == ["again", "6"]
    assert [line["reason"] for line in lines[-2:]] == ["duplicate", "duplicate"]


def test_fields_that_are_not_read_are_counted_and_change_nothing_else(config: PreprocessConfig, tmp_path: Path) -> None:
    lines = [
        {"prompt": "Name a bird.", "chosen": "A wren.", "rejected": "A trout.", "votes": 3, "by": "me"},
        {"prompt": "Name a fish.", "chosen": "A trout.", "rejected": "A wren.", "votes": 1},
        {"prompt": "What is it?", "chosen": "A patch.", "rejected": "A boat.", "images": ["a.png"], "votes": 1},
    ]
    data = Path(config.data_root)
    (data / "fields.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = SourceConfig(name="fields", path="fields.jsonl")
    counted = replace(config, sources=[source], output=str(tmp_path / "counted"))
    manifest = prepare(counted)
    assert manifest.counts.by_source["fields"].unread == {"votes": 2, "by": 1}
    assert manifest.counts.refused_by_reason == {"unread_media": 1}
    assert Manifest.read(counted.output) == manifest
    units = [json.loads(path.read_text()) for path in Path(counted.output, "units").glob("*.json")]
    assert [unit["unread"] for unit in units] == [{"by": 1, "votes": 2}]
    for line in lines:
        line.pop("votes")
        line.pop("by", None)
    (data / "bare.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    bare = replace(counted, sources=[replace(source, path="bare.jsonl")], output=str(tmp_path / "bare"))
    assert b'unread"' not in prepare(bare).to_json()
    assert all("unread" not in json.loads(path.read_text()) for path in Path(bare.output, "units").glob("*.json"))
    of_counted, of_bare = (
        [data for name, data in sorted(files_of(folder).items()) if name.startswith("shards/") and "images" not in name]
        for folder in (counted.output, bare.output)
    )
    assert of_counted == of_bare


def test_answers_that_differ_in_their_text_alone_are_refused(config: PreprocessConfig) -> None:
    record = {"id": "1", "prompt": "Write it.", "chosen": "caf\u00e9", "rejected": "cafe\u0301"}
    (Path(config.data_root) / "same.jsonl").write_text(json.dumps(record) + "\n")
    same = replace(config, sources=[SourceConfig(name="same", path="same.jsonl")])
    assert prepare(same).counts.refused_by_reason == {"identical_tokens": 1}
    assert "ranked 0 and 1" in quarantine(same)[0]["detail"]


def test_a_list_of_ignored_fields_is_part_of_an_address_only_where_it_says_something(config: PreprocessConfig) -> None:
    fields = replace(config.sources[0].fields, ignored=["thumbnail"])
    ignoring = replace(config, sources=[replace(config.sources[0], fields=fields), *config.sources[1:]])
    plain, other = plan_units(config), plan_units(ignoring)
    assert {unit.address for unit in plain if unit.source} == {unit.address for unit in other if unit.source}
    assert not {unit.address for unit in plain if not unit.source} & {unit.address for unit in other if not unit.source}
    assert "ignored" not in json.dumps(portable_config(config)) and "thumbnail" in json.dumps(portable_config(ignoring))


def test_of_duplicates_the_first_source_wins(config: PreprocessConfig) -> None:
    twice = replace(config, sources=[*config.sources, replace(config.sources[0], name="copy")])
    by_source = prepare(twice).counts.by_source
    assert (by_source["pairs"].kept, by_source["copy"].kept, by_source["copy"].refused) == (20, 0, 25)


def test_prepared_data_gives_back_the_records(config: PreprocessConfig) -> None:
    prepare(config)
    data = pickle.loads(pickle.dumps(PreparedData.open(config.output)))
    assert len(data) == 26
    first, encoded = data.comparison(0), data.encoded(0)
    assert (first.id, first.source, first.prompt[0].parts) == ("p0", "pairs", (ImageSlot(0), "What 0?"))
    assert first.media[0].data == encoded.images[0].data == png(0)
    assert [response.text for response in first.responses] == ["a", "b"]
    assert data.comparison(25).responses[1].score == 2.0
    parts = [set(data.split_indices(split).tolist()) for split in ("train", "heldout")]
    assert parts[0] | parts[1] == set(range(26)) and not parts[0] & parts[1] and all(parts)
    for index in range(len(data)):
        encoded, planned = data.encoded(index), data.rows.slice(index, 1).to_pylist()[0]
        assert encoded.prefix_ids.dtype == np.int32
        assert (planned["id"], planned["split"]) == (encoded.id, encoded.split)
        assert planned["prefix_length"] == len(encoded.prefix_ids)
        assert planned["response_lengths"] == [len(ids) for ids in encoded.response_ids]
        assert planned["image_patches"] == [image.num_patches for image in encoded.images]
    with pytest.raises(IndexError, match="26 of 26"):
        data.encoded(26)


def test_any_order_and_two_processes_give_equal_bytes(config: PreprocessConfig, tmp_path: Path) -> None:
    prepare(config)
    other = replace(config, output=str(tmp_path / "other"), workers=2)
    units = plan_units(other)
    assert len(units) > 5
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(run_unit, units[::-1], [other] * len(units)))
    finish(other, units)
    assert files_of(other.output) == files_of(config.output)


def test_the_manifest_is_the_same_in_another_place(config: PreprocessConfig, tmp_path: Path) -> None:
    here = prepare(config).fingerprint
    (tmp_path / "moved").mkdir()
    Path(config.data_root).rename(tmp_path / "moved" / "data")
    moved = replace(config, data_root=str(tmp_path / "moved" / "data"), output=str(tmp_path / "moved" / "out"))
    assert prepare(moved).fingerprint == here
    assert str(tmp_path).encode() not in (Path(moved.output) / MANIFEST).read_bytes()
    absolute = [replace(one, path=str(tmp_path / "moved" / "data" / one.path)) for one in moved.sources]
    assert prepare(replace(moved, sources=absolute)).fingerprint == here


def test_a_killed_run_does_only_what_is_missing(config: PreprocessConfig) -> None:
    prepare(config)
    whole, stamps = files_of(config.output), stamps_of(config.output)
    out = Path(config.output)
    units = plan_units(config)
    unfinished, torn = units[2].address, units[4].address
    for name in ("manifest.json", f"units/{unfinished}.json"):
        (out / name).unlink()
    (out / "shards" / f"{torn}-0.arrow").write_bytes(b"half a file")
    assert is_finished(config, units) is None
    assert [unit.index for unit in units if not run_unit(unit, config).reused] == [2, 4]
    manifest = finish(config, units)
    assert files_of(config.output) == whole
    touched = {name for name, stamp in stamps_of(config.output).items() if stamp != stamps[name]}
    assert touched == {
        "manifest.json", f"manifests/{manifest.address}.json", manifest.rows_file.name, manifest.quarantine_file.name,
        *(f"shards/{name}-0.{end}" for name in (unfinished, torn) for end in ("arrow", "images.arrow")),
        *(f"units/{name}.{end}" for name in (unfinished, torn) for end in ("json", "rows.arrow")),
        *(f"media/{name}.json" for name in (unfinished, torn)),
    }  # fmt: skip


def test_a_finished_run_does_nothing(config: PreprocessConfig) -> None:
    first = prepare(config)
    stamps = stamps_of(config.output)
    assert prepare(config) == first == Manifest.read(config.output)
    assert prepare(replace(config, workers=7)) == first
    assert stamps_of(config.output) == stamps


def test_finishing_too_early_is_refused(config: PreprocessConfig) -> None:
    units = plan_units(config)
    run_unit(units[0], config)
    with pytest.raises(RunError, match=units[1].address):
        finish(config, units)
    assert not (Path(config.output) / MANIFEST).exists()


FILTERS: dict[str, Any] = {
    "rules": RulesConfig(max_tokens=30),
    "split": SplitConfig(heldout_fraction=0.4, seed=1),
    "mixture": MixtureConfig(text_ratio=0.5),
}


@pytest.mark.parametrize("name", FILTERS)
def test_another_filter_opens_no_record_and_no_image(config: PreprocessConfig, name: str) -> None:
    first = prepare(config)
    stamps = stamps_of(config.output)
    for image in (Path(config.data_root) / "images").iterdir():
        image.unlink()
    other = replace(config, **{name: FILTERS[name]})
    units = plan_units(other)
    assert is_finished(other, units) is None
    assert all(run_unit(unit, other).reused for unit in units)
    second = finish(other, units)
    assert second.address != first.address and second.shards == first.shards
    assert {name: stamp for name, stamp in stamps_of(config.output).items() if name in stamps} == {
        **stamps, "manifest.json": stamps_of(config.output)["manifest.json"],
    }  # fmt: skip
    assert Manifest.read(str(Path(config.output) / "manifests" / f"{first.address}.json")) == first
    assert prepare(config) == first, "the first rules again"


def test_another_source_redoes_no_other(config: PreprocessConfig) -> None:
    prepare(config)
    more = replace(config, sources=[replace(config.sources[1], name="first"), *config.sources])
    reused = [run_unit(unit, more).reused for unit in plan_units(more)]
    assert reused == [False, False, *[True] * (len(reused) - 2)]


@pytest.mark.parametrize(
    "change", [{"encode": EncodeConfig(max_pixels=5000)}, {"rows_per_unit": 7}, {"shard_bytes": 1000}]
)
def test_other_transform_settings_are_another_address(config: PreprocessConfig, change: dict[str, Any]) -> None:
    addresses = {unit.address for unit in plan_units(config)}
    assert not addresses & {unit.address for unit in plan_units(replace(config, **change))}


def test_other_input_or_tokenizer_is_another_plan(config: PreprocessConfig, tmp_path: Path) -> None:
    prepare(config)
    train_tokenizer(["Other words entirely, many of them."], 280, str(tmp_path / "model2"))
    other = replace(config, tokenizer=str(tmp_path / "model2"))
    units = plan_units(other)
    assert is_finished(other, units) is None
    with pytest.raises(RunError, match="do not change it during a run"):
        run_unit(units[0], config)
    with open(Path(config.data_root) / "ranked.jsonl", "a") as file:
        file.write("\n")
    assert is_finished(config, plan_units(config)) is None
    with pytest.raises(RunError, match=r"ranked\.jsonl' has changed"):
        run_unit(units[-1], other)


def test_sources_left_out_need_not_be_there(config: PreprocessConfig) -> None:
    gone = SourceConfig(name="gone", path="nowhere.jsonl")
    only = replace(config, sources=[gone, *config.sources], mixture=MixtureConfig(only=["ranked"]))
    manifest = prepare(only)
    assert (manifest.counts.seen, manifest.counts.by_source["ranked"].seen) == (7, 7)
    assert [file.source for file in manifest.inputs] == ["ranked"]


def test_small_shards_hold_the_same_rows(config: PreprocessConfig, tmp_path: Path) -> None:
    prepare(config)
    small = replace(config, shard_bytes=10_000, output=str(tmp_path / "small"))
    manifest = prepare(small)
    assert len(manifest.shards) > len(Manifest.read(config.output).shards)
    one, other = PreparedData.open(config.output), PreparedData.open(small.output)
    assert [one.comparison(i) for i in range(len(one))] == [other.comparison(i) for i in range(len(other))]


def test_a_tree_gives_several_items_and_a_hard_pair_two_responses(config: PreprocessConfig) -> None:
    hard = replace(config.sources[1], name="hard", responses="extremes")
    prepare(replace(config, sources=[hard]))
    data = PreparedData.open(config.output)
    assert {len(data.encoded(i).response_ids) for i in range(len(data))} == {2}
    assert [response.text for response in data.comparison(0).responses] == ["x", "y"]


def test_overlap_with_a_benchmark_is_removed_and_listed(config: PreprocessConfig, tmp_path: Path) -> None:
    asked = {"prompt": "Say 3", "chosen": "p", "rejected": "q"}
    seen = {"prompt": "Something else", "image": "images/2.png", "chosen": "p", "rejected": "q"}
    lines = [asked, seen, {**seen, "image": "images/none.png"}, {"prompt": 7}]
    (Path(config.data_root) / "bench.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    against = DecontaminateConfig(against=[SourceConfig(name="bench", path="bench.jsonl")])
    manifest = prepare(replace(config, decontaminate=against))
    listed = [line for line in quarantine(config) if line["reason"] == "contaminated"]
    assert [line["source"] for line in listed] == ["pairs"] * 4 + ["ranked"]
    assert {line["id"] for line in listed} == {"p2", "p7", "p12", "p17", "3"}
    assert all("bench" in line["detail"] for line in listed)
    found = manifest.counts.benchmarks["bench"]
    assert (found.items, found.images, found.refused, found.overlaps) == (3, 1, 1, 5)
    assert not any("bench" in shard.name for shard in manifest.shards)
    assert manifest.counts.seen == 32


def test_truncated_rows_are_read_truncated(config: PreprocessConfig, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x " * 20}, {"role": "assistant", "content": "y"}]
    record = {"prompt": [*turns, {"role": "user", "content": "Say z"}], "chosen": "x " * 30, "rejected": "y"}
    (Path(config.data_root) / "long.jsonl").write_text(json.dumps(record) + "\n")
    whole = replace(config, sources=[SourceConfig(name="long", path="long.jsonl")])
    prepare(whole)
    full = PreparedData.open(whole.output).encoded(0)
    rules = RulesConfig(max_tokens=full.length - 50, truncate="responses")
    prepare(replace(whole, rules=rules))
    data = PreparedData.open(whole.output)
    cut = data.encoded(0)
    assert data.rows["dropped_turns"].to_pylist() == [2]
    assert cut.length <= rules.max_tokens < full.length
    assert cut.response_ids[0][-1] == full.response_ids[0][-1], "the closing token stays"
    assert data.rows["prefix_length"][0].as_py() == len(cut.prefix_ids) < len(full.prefix_ids)
    assert data.rows["response_lengths"][0].as_py() == [len(ids) for ids in cut.response_ids]
    prepare(replace(whole, rules=replace(rules, truncate="nothing"), output=str(tmp_path / "strict")))
    strict = replace(whole, output=str(tmp_path / "strict"))
    assert [line["reason"] for line in quarantine(strict)] == ["too_long"]


def test_a_changed_shard_is_caught(config: PreprocessConfig) -> None:
    name = prepare(config).shards[1].name
    path = Path(config.output) / "shards" / f"{name}.images.arrow"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    data = PreparedData.open(config.output)
    data.encoded(0)
    with pytest.raises(CorruptData, match=rf"{name}\.images"):
        data.encoded(8)
    with pytest.raises(CorruptData, match=rf"{name}\.images"):
        data.verify()
    path.unlink()
    assert is_finished(config, plan_units(config)) is None
    manifest = prepare(config)
    assert is_finished(config, plan_units(config)) == manifest
    PreparedData.open(config.output).verify()


@pytest.mark.parametrize("pattern", ["shards/*-0.arrow", "shards/*.images.arrow", "rows.*.arrow", "quarantine.*"])
def test_a_file_that_is_gone_is_made_again(config: PreprocessConfig, pattern: str) -> None:
    prepare(config)
    whole = files_of(config.output)
    for path in Path(config.output).glob(pattern):
        path.unlink()
    prepare(config)
    assert files_of(config.output) == whole


def test_changed_planning_rows_are_caught(config: PreprocessConfig) -> None:
    rows = Path(config.output) / prepare(config).rows_file.name
    rows.write_bytes(rows.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(CorruptData, match=r"rows\.[0-9a-f]+\.arrow"):
        PreparedData.open(config.output)


def test_a_file_without_records_is_an_input_too(config: PreprocessConfig) -> None:
    (Path(config.data_root) / "none.jsonl").write_text("")
    manifest = prepare(replace(config, sources=[*config.sources, SourceConfig(name="none", path="none.jsonl")]))
    assert [(one.path, one.rows) for one in manifest.inputs] == [
        ("pairs.jsonl", 26), ("ranked.jsonl", 7), ("none.jsonl", 0),
    ]  # fmt: skip
    assert manifest.counts.by_source["none"].seen == 0


def test_limit_counts_over_the_source(config: PreprocessConfig) -> None:
    limited = replace(config, sources=[replace(config.sources[0], limit=7), config.sources[1]])
    assert prepare(limited).counts.by_source["pairs"].seen == 7


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"sources": []}, RecipeError, "sources is empty"),
        ({"sources": [SourceConfig(name="a", path="pairs.jsonl")] * 2}, RecipeError, "'a' twice"),
        ({"sources": [SourceConfig(name="a", path="none*.jsonl")]}, MissingInput, "none"),
        ({"sources": [SourceConfig(name="a", path="pairs.jsonl", shape="rlaifv")]}, MissingInput, "rlaif_v"),
        ({"sources": [SourceConfig(name="a", path="pairs.jsonl", responses="some")]}, RecipeError, "'some'"),
        ({"rows_per_unit": 0}, RecipeError, "rows_per_unit=0"),
        ({"shard_bytes": 0}, RecipeError, "shard_bytes=0"),
        ({"media": MediaConfig(max_frames=0)}, RecipeError, "max_frames=0"),
        ({"rules": RulesConfig(truncate="all")}, RecipeError, "truncate"),
        ({"split": SplitConfig(heldout_fraction=1.5)}, RecipeError, "heldout_fraction"),
        ({"tokenizer": "nowhere"}, MissingInput, "nowhere"),
    ],
)
def test_mistakes_in_the_config_are_named(
    config: PreprocessConfig, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        plan_units(replace(config, **change))


def test_an_unfinished_folder_cannot_be_opened(config: PreprocessConfig) -> None:
    run_unit(plan_units(config)[0], config)
    with pytest.raises(MissingInput, match=r"manifest\.json"):
        PreparedData.open(config.output)


def test_pictures_in_archives(config: PreprocessConfig, tmp_path: Path) -> None:
    prepare(config)
    data = Path(config.data_root)
    shutil.make_archive(str(data / "packed"), "zip", data, "images")
    shutil.make_archive(str(data / "packed"), "gztar", data, "images")
    zipped = replace(config.sources[0], media_root="packed.zip")
    packed = replace(config, sources=[zipped, config.sources[1]], output=str(tmp_path / "packed"))
    assert prepare(packed).counts == Manifest.read(config.output).counts
    before = plan_units(packed)[0].address
    with zipfile.ZipFile(data / "packed.zip", "a") as archive:
        archive.writestr("images/more.png", png(3))
    assert plan_units(packed)[0].address != before
    with pytest.raises(RecipeError, match="compressed tar"):
        plan_units(replace(packed, sources=[replace(zipped, media_root="packed.tar.gz/images")]))


@pytest.mark.parametrize("name", ["set/a", "a<b", "a|b", 'a"b', "a b ", "", "..", "x" * 101, "a\nb", "\x1b[2J"])
def test_a_source_has_a_name_that_a_metric_can_have(name: str) -> None:
    config = PreprocessConfig(sources=[SourceConfig(name=name, path="a.jsonl")])
    with pytest.raises(RecipeError, match="no name that a metric can have"):
        prepare(config)


@pytest.mark.parametrize("name", ["mine", "rlaif-v", "two words", "数据", "ä", "a:b", ".a", "x" * 100])
def test_a_source_may_be_called_in_any_language(name: str) -> None:
    with pytest.raises(MissingInput, match="has no files"):
        prepare(PreprocessConfig(sources=[SourceConfig(name=name, path="gone.jsonl")], data_root="nowhere"))


def test_no_new_key_moves_the_addresses_of_what_was_prepared_before() -> None:
    """A key that a later version adds is left out where it decides nothing (`planning`), and so is not in this list."""
    said = portable_config(PreprocessConfig(sources=[SourceConfig(name="a", path="a.jsonl")]))
    assert set(said["sources"][0]["fields"]) == {
        "id", "prompt", "image", "chosen", "rejected", "responses", "text", "score", "rank", "response_image",
    }  # fmt: skip
    assert set(said["encode"]) == {"min_pixels", "max_pixels", "video_max_pixels", "system_prompt"}
    assert set(said["sources"][0]) == {
        "name", "path", "shape", "media_root", "fields", "score_field", "responses", "limit", "cap", "repeat", "weight",
        "seed", "split",
    }  # fmt: skip
    asks = portable_config(
        PreprocessConfig(sources=[SourceConfig(name="a", path="a", fields=FieldMap(answer="label"))])
    )
    assert asks["sources"][0]["fields"]["answer"] == "label"
