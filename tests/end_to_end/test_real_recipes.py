"""The recipes of real public sets read those sets, where the folder of $BASEREWARD_REAL_DATA holds them."""

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.pipeline import prepare
from data_pipeline.sources.inputs import comparisons_of
from jobs.recipe.load import load_recipe

REAL_DATA = Path(os.environ.get("BASEREWARD_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
LIMIT = 60
SIDES = ("chosen", "rejected")


def recipe_config(name: str, folder: Path, *overrides: str) -> PreprocessConfig:
    """The preprocessing section of a packaged recipe, with a small tokenizer trained on the recipe's own records."""
    recipe = load_recipe(
        name, [f"data_root={REAL_DATA}", f"run_dir={folder}", "preprocess.split.heldout_fraction=0.5", *overrides]
    )
    config = recipe.preprocess
    for source in config.sources:
        if not (REAL_DATA / source.path).is_file():
            pytest.skip(f"{source.path} is not in {REAL_DATA}: set BASEREWARD_REAL_DATA to the folder that holds it")
    comparisons = islice(comparisons_of(config.sources[0], config.data_root), LIMIT)
    texts = [response.text for comparison in comparisons for response in comparison.responses]
    train_tokenizer(texts, 600, config.tokenizer)
    return config


# Half is held out: the first 60 records stand on a handful of images, and an image is on one side only. The seed is one
# that puts some of each set on either side.
@pytest.mark.parametrize("name", ["mllm_bench", "caption_contest", "hh_rlhf"])
def test_a_recipe_prepares_the_first_records_of_its_set(name: str, tmp_path: Path) -> None:
    config = recipe_config(name, tmp_path, f"preprocess.sources.0.limit={LIMIT}", "preprocess.split.seed=1")
    manifest = prepare(config)
    counts = manifest.counts
    assert counts.seen == LIMIT == counts.kept + counts.refused
    assert counts.kept > 0.9 * LIMIT
    assert set(counts.by_split) == {"train", "heldout"}, counts.by_split
    data = PreparedData.open(config.output)
    groups: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for index in range(len(data)):
        encoded = data.encoded(index)
        assert len(encoded.prefix_ids) + max(map(len, encoded.response_ids)) <= config.rules.max_tokens
        groups[encoded.split] |= {image.key for image in encoded.images} or {encoded.prefix_ids.tobytes().hex()}
    assert not groups["train"] & groups["heldout"]


def test_captions_keep_the_order_of_their_scores(tmp_path: Path) -> None:
    config = recipe_config("caption_contest", tmp_path, f"preprocess.sources.0.limit={LIMIT}")
    prepare(config)
    data, tokenizer = PreparedData.open(config.output), load_tokenizer(config.tokenizer)
    raw: dict[str, list[dict[str, float | str]]] = {}
    with open(REAL_DATA / config.sources[0].path, encoding="utf8") as file:
        for line in islice(file, LIMIT):
            record = json.loads(line)
            raw[record["id"]] = record["responses"]
    for index in range(len(data)):
        encoded = data.encoded(index)
        order = sorted(range(len(encoded.ranks)), key=lambda place: encoded.ranks[place])
        texts = [tokenizer.decode(encoded.response_ids[place]).removesuffix("<|im_end|>") for place in order]
        assert texts == [
            item["text"] for item in sorted(raw[encoded.id], key=lambda item: float(item["score"]), reverse=True)
        ]
        assert 2 <= len(texts) <= 5


def test_dialogues_end_where_the_answers_begin(tmp_path: Path) -> None:
    limit = 120
    config = recipe_config("hh_rlhf", tmp_path, f"preprocess.sources.0.limit={limit}")
    with gzip.open(REAL_DATA / config.sources[0].path, "rt", encoding="utf8") as file:
        records = [json.loads(line) for line in islice(file, limit)]
    empty = {row for row, one in enumerate(records) for key in SIDES if one[key].rstrip().endswith("Assistant:")}
    assert empty, "the set has changed: its first records hold no empty answer"
    manifest = prepare(config)
    with open(f"{config.output}/{manifest.quarantine_file.name}", encoding="utf8") as file:
        refused = {entry["row"] for entry in map(json.loads, file)}
    assert empty <= refused
    data, tokenizer = PreparedData.open(config.output), load_tokenizer(config.tokenizer)
    assert len(data) == manifest.counts.kept > 0.9 * limit
    chosen = {one["chosen"].split("Assistant:")[-1].strip() for one in records}
    for index in range(len(data)):
        encoded = data.encoded(index)
        best = tokenizer.decode(encoded.response_ids[encoded.ranks.index(0)]).removesuffix("<|im_end|>")
        assert best.strip() in chosen
        assert data.comparison(index).prompt[-1].role == "user"


def test_all_real_sets_in_one_mixture_without_what_benchmarks_ask(tmp_path: Path) -> None:
    if not (REAL_DATA / "benchmarks").is_dir():
        pytest.skip(f"no benchmarks/ in {REAL_DATA}: set BASEREWARD_REAL_DATA to the folder that holds the real sets")
    limits = [f"preprocess.sources.{place}.limit=25" for place in range(6)]
    recipe = load_recipe("real_mixture", [f"data_root={REAL_DATA}", f"run_dir={tmp_path}", *limits])
    config = recipe.preprocess
    train_tokenizer(["Some words to learn from."], 300, config.tokenizer)
    config.sources[2].limit = 100  # the question of a benchmark that this set asks stands in row 75
    manifest = prepare(config)
    counts = manifest.counts
    assert set(counts.by_source) == {source.name for source in config.sources}
    assert all(one.seen == one.kept + one.refused and one.seen >= 25 for one in counts.by_source.values())
    items = {name: found.items for name, found in counts.benchmarks.items()}
    assert items == {"vl_rewardbench": 1250, "mm_rlhf_rewardbench": 170, "rm_bench": 798}
    assert counts.benchmarks["rm_bench"].overlaps == counts.refused_by_reason["contaminated"] == 4
    data = PreparedData.open(config.output)
    shown = data.rows.take(data.epoch_indices("train")).column("image_patches").to_pylist()
    with_images = sum(map(bool, shown))
    assert abs((len(shown) - with_images) - 0.5 * with_images) <= 0.15 * with_images, "text_ratio: 0.5"
