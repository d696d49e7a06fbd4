"""docs/data.md against the code: every block runs, every shape and every reason is there."""

import json
import re
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.inspection.quarantine import MEANINGS
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.registry import SHAPES, adapter_of
from jobs.cli.main import main
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import open_cluster

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BY_KIND = {kind: [(name, text) for found, name, text in BLOCKS if found == kind] for kind, _, _ in BLOCKS}
RECORDS = dict(BY_KIND["json"])


def test_every_block_is_of_a_kind_that_runs() -> None:
    assert {kind for kind, _, _ in BLOCKS} == {"json", "jsonl", "csv", "yaml", "sh", "text"}
    assert len(BY_KIND["text"]) == 1, "the drawing of the output folder"


def test_bring_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for Ray's workers, where nothing is installed
    for name, text in [*BY_KIND["jsonl"], *BY_KIND["csv"], *((n, t) for n, t in BY_KIND["yaml"] if n)]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    for shade, name in enumerate(("bus", "cat")):
        Path("data/images").mkdir(exist_ok=True)
        PIL.Image.effect_noise((80 + shade, 60), 90).convert("RGB").save(f"data/images/{name}.jpg")
    commands = [line for _, text in BY_KIND["sh"] for line in text.splitlines()]
    assert len(commands) == 5
    with open_cluster(ClusterConfig(num_cpus=2)):
        for command in commands:
            program, *arguments = command.split()
            assert program == "basereward"
            assert main(arguments) == 0, capsys.readouterr()
    counts = Manifest.read("runs/mine/shards").counts
    assert (counts.seen, counts.refused_by_reason) == (8, {"missing_media": 1})
    assert Path("data.html").stat().st_size > 10_000
    assert len(list(Path("runs/mine/shards/manifests").iterdir())) == 2


@pytest.mark.parametrize(("name", "text"), BY_KIND["yaml"], ids=lambda value: str(value)[:20])
def test_recipes_load(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / (name or "block.yaml")
    path.write_text(text, encoding="utf-8")
    assert load_recipe(str(path)).preprocess.sources


def test_every_shape_has_its_record() -> None:
    assert sorted(RECORDS) == sorted(SHAPES)


@pytest.mark.parametrize("shape", sorted(RECORDS))
def test_the_record_of_a_shape_is_one(shape: str) -> None:
    made = adapter_of(shape)(json.loads(RECORDS[shape]), SourceConfig(name=shape, path="-", shape=shape), 0)
    for comparison in [made] if isinstance(made, Comparison) else made:
        is_preference = shape != "answered"  # a question with its one right answer
        check(replace(comparison), labelled=is_preference)
        assert (comparison.num_ordered_pairs > 0) is is_preference


def test_every_reason_is_explained() -> None:
    explained = set(re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", PAGE, re.MULTILINE))
    named = {reason for cell in explained for reason in re.findall(r"`([a-z_]+)`", cell)}
    assert sorted(set(MEANINGS) - named) == []
