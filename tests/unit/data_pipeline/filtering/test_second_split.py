"""The held-out part in two: what shares an image or a text-only prompt stays together."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from data_pipeline.config import PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import MissingInput
from data_pipeline.filtering.groups import content_keys, group_names
from data_pipeline.filtering.split import split_again
from data_pipeline.pipeline import prepare

NUM_PROMPTS, VOTES = 60, 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """60 prompts of text and 60 pictures, each asked about twice, under ids that are not unique."""
    folder = tmp_path_factory.mktemp("second")
    rows = []
    for place in range(NUM_PROMPTS):
        buffer = io.BytesIO()
        noise = np.random.default_rng(place).integers(0, 256, (56, 56, 3), dtype=np.uint8)
        PIL.Image.fromarray(noise).save(buffer, "PNG")
        (folder / f"{place}.png").write_bytes(buffer.getvalue())
        for vote in range(VOTES):
            rows.append({"id": "same", "prompt": f"Say {place}", "chosen": f"{place} {vote}", "rejected": "No."})
            rows.append({**rows[-1], "prompt": f"What {place} {vote}?", "image": f"{place}.png"})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_tokenizer(["Say 1. What 2? No."], 300, str(folder / "model"))
    prepare(
        PreprocessConfig(
            data_root=str(folder),
            output=str(folder / "shards"),
            tokenizer=str(folder / "model"),
            rows_per_unit=50,
            sources=[SourceConfig(name="pairs", path="pairs.jsonl")],
            split=SplitConfig(heldout_fraction=0.5),
        )
    )
    return PreparedData.open(str(folder / "shards"))


def groups_of(data: PreparedData, indices: np.ndarray) -> list[str]:
    """The number in the prompt: that of the picture, or of the text."""
    found = []
    for index in indices:
        comparison = data.comparison(int(index))
        [turn] = comparison.prompt
        words = "".join(part for part in turn.parts if isinstance(part, str)).split()
        found.append(f"{bool(comparison.media)} {words[1]}")
    return found


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_group_is_in_one_split(data: PreparedData, share: float) -> None:
    indices = data.split_indices("heldout")
    judged = split_again(data, indices, share=share, seed=3)
    groups = groups_of(data, indices)
    splits: dict[str, set[bool]] = {}
    for group, split in zip(groups, judged.tolist(), strict=True):
        splits.setdefault(group, set()).add(split)
    assert all(len(found) == 1 for found in splits.values()) and len(splits) > 40
    assert judged.mean() == pytest.approx(share, abs=0.17), "apart from the split itself, which used a hash as well"


def test_it_depends_on_content_and_seed_alone(data: PreparedData) -> None:
    indices = data.split_indices("heldout")
    judged = split_again(data, indices, share=0.5, seed=3)
    some = np.arange(0, len(indices), 2)
    assert split_again(data, indices[::-1], share=0.5, seed=3).tolist() == judged[::-1].tolist()
    assert (split_again(data, indices[some], share=0.5, seed=3) == judged[some]).mean() > 0.95
    assert split_again(data, indices, share=0.5, seed=4).tolist() != judged.tolist()


def test_no_two_comparisons_have_one_key(data: PreparedData) -> None:
    keys = content_keys(data, np.arange(len(data))).to_pylist()
    assert len(set(keys)) == len(data) == 2 * VOTES * NUM_PROMPTS


def test_groups_of_an_interval_are_those_of_the_split(data: PreparedData) -> None:
    indices = data.split_indices("heldout")
    names = group_names(data, indices)
    by_name: dict[str, set[str]] = {}
    for name, group in zip(names, groups_of(data, indices), strict=True):
        by_name.setdefault(name, set()).add(group)
    assert all(len(found) == 1 for found in by_name.values()) and len(by_name) == len(indices) / VOTES
    assert {name.partition(":")[0] for name in by_name} == {"image", "prompt"}
    assert group_names(data, indices[::-1]) == names[::-1]
    assert group_names(data, indices[:0]) == []


def test_a_copy_without_signals_says_what_it_lacks(data: PreparedData, tmp_path: Path) -> None:
    shutil.copytree(data.folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/units")
    copy = PreparedData.open(str(tmp_path / "copy"))
    with pytest.raises(MissingInput, match=r"rows\.arrow' is not there.*copy the folder with its units/"):
        group_names(copy, copy.split_indices("heldout"))
