"""The whole preprocessing on small files: counts, resumption, byte equality, and refusal to mix."""

import io
import json
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from data_pipeline.comparison import ImageSlot
from data_pipeline.config import EncodeConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.dataset import PreparedData
from data_pipeline.errors import CorruptData, MissingInput, RecipeError, RunError, UserError
from data_pipeline.manifest import MANIFEST, Manifest
from data_pipeline.pipeline import finish, is_finished, plan_units, prepare, run_unit
from data_pipeline.tokenizer import train_tokenizer

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


def test_seen_is_kept_and_refused(config: PreprocessConfig) -> None:
    counts = prepare(config).counts
    assert (counts.seen, counts.kept, counts.refused) == (32, 26, 6)
    assert counts.refused_by_reason == REFUSED
    assert (counts.by_source["pairs"].seen, counts.by_source["pairs"].kept) == (25, 20)
    assert (counts.by_source["ranked"].seen, counts.by_source["ranked"].refused) == (7, 1)
    assert sum(counts.by_split.values()) == 26
    lines = (Path(config.output) / "quarantine.jsonl").read_text().splitlines()
    broken = json.loads(lines[0])
    assert (broken["source"], broken["path"], broken["row"], broken["reason"]) == (
        "pairs", "pairs.jsonl", 8, "malformed_record",
    )  # fmt: skip
    assert [json.loads(line)["id"] for line in lines[-2:]] == ["again", "6"]
    assert "pairs.jsonl row 0" in lines[-2]


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
    sides = [set(data.split_indices(split).tolist()) for split in ("train", "heldout")]
    assert sides[0] | sides[1] == set(range(26)) and not sides[0] & sides[1] and all(sides)
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
    for name in ("manifest.json", "rows.arrow", "units/00002.json"):
        (out / name).unlink()
    (out / "shards" / "00004.arrow").write_bytes(b"half a file")
    units = plan_units(config)
    assert is_finished(config, units) is None
    assert [unit.index for unit in units if not run_unit(unit, config).reused] == [2, 4]
    finish(config, units)
    assert files_of(config.output) == whole
    touched = {name for name, stamp in stamps_of(config.output).items() if stamp != stamps[name]}
    assert touched == {
        "manifest.json", "quarantine.jsonl", "rows.arrow",
        *(f"{part}/0000{i}.{end}" for i in (2, 4) for part, end in (
            ("shards", "arrow"), ("shards", "images.arrow"), ("units", "json"), ("units", "rows.arrow"))),
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
    with pytest.raises(RunError, match="00001"):
        finish(config, units)
    assert not (Path(config.output) / MANIFEST).exists()


def test_another_config_is_never_mixed_in(config: PreprocessConfig) -> None:
    units = plan_units(config)
    run_unit(units[5], config)
    changes: dict[str, Any] = {"encode": EncodeConfig(max_tokens=99), "rows_per_unit": 12, "split": SplitConfig(seed=1)}
    for name, value in changes.items():
        other = replace(config, **{name: value})
        assert plan_units(other)[0].plan != units[0].plan
        with pytest.raises(UserError, match="another output"):
            is_finished(other)
    with pytest.raises(UserError, match="another output"):
        run_unit(plan_units(replace(config, encode=EncodeConfig(max_tokens=99)))[5], config)
    before = files_of(config.output)
    prepare(config)
    with pytest.raises(UserError, match="another output"):
        prepare(replace(config, encode=EncodeConfig(max_tokens=99)))
    assert before.items() <= files_of(config.output).items()


def test_other_input_or_tokenizer_is_another_plan(config: PreprocessConfig, tmp_path: Path) -> None:
    prepare(config)
    train_tokenizer(["Other words entirely, many of them."], 280, str(tmp_path / "model2"))
    with pytest.raises(UserError, match="another output"):
        is_finished(replace(config, tokenizer=str(tmp_path / "model2")))
    with open(Path(config.data_root) / "ranked.jsonl", "a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="another output"):
        is_finished(config)


def test_a_changed_shard_is_caught(config: PreprocessConfig) -> None:
    prepare(config)
    path = Path(config.output) / "shards" / "00001.images.arrow"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    data = PreparedData.open(config.output)
    data.encoded(0)
    with pytest.raises(CorruptData, match=r"00001\.images"):
        data.encoded(8)
    with pytest.raises(CorruptData, match=r"00001\.images"):
        data.verify()
    path.unlink()
    with pytest.raises(CorruptData, match="gone"):
        is_finished(config)


def test_changed_planning_rows_are_caught(config: PreprocessConfig) -> None:
    prepare(config)
    rows = Path(config.output) / "rows.arrow"
    rows.write_bytes(rows.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(CorruptData, match=r"rows\.arrow"):
        PreparedData.open(config.output)


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
        ({"rows_per_unit": 0}, RecipeError, "rows_per_unit=0"),
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
