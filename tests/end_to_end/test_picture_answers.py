"""Pictures of one text, in ImageReward's own records, through the commands: trained, evaluated, scored, exported."""

import json
from pathlib import Path

import pytest
import yaml
from html_pages import PageReader
from painted import write_painted
from workplace import Workplace

from rm_core.scoring.scored_file import read_scored


class Painted(Workplace):
    """Records of which the picture of the asked colour is best, and a recipe that trains for 8 steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = write_painted(folder / "raw", 40)
        source = {"name": "painted", "path": "pairs.jsonl", "shape": "imagereward"}
        recipe = {
            "run_dir": str(folder),
            "data_root": str(folder / "raw"),
            "init_model": {"vocab_size": 400, "shape": "nano"},
            "preprocess": {"sources": [source], "split": {"heldout_fraction": 0.3}},
            "train": {"precision": "fp32", "global_batch": 8, "token_budget": 600, "max_steps": 8, "num_workers": 1},
        }
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(yaml.safe_dump(recipe), encoding="utf8")


@pytest.mark.drill
def test_records_are_trained_evaluated_and_scored_as_they_are(tmp_path: Path) -> None:
    place = Painted(tmp_path)
    for command in ("init-model", "preprocess", "train", "evaluate"):
        place.run(command)
    place.run("score", f"score.input={place.records}", "score.shape=imagereward")
    scored = {one.id: one for one in read_scored(f"{tmp_path}/evaluate/scored.parquet")}
    lines = {one["id"]: one for one in map(json.loads, (tmp_path / "scores.jsonl").read_text().splitlines())}
    assert len(lines) == 40 and 4 < len(scored) < 40
    for name, one in scored.items():
        assert lines[name]["rewards"] == pytest.approx(one.rewards, abs=1e-5)
    report = json.loads((tmp_path / "evaluate/report.json").read_text())
    assert report["blank_images"]["blank"]["value"] == 0.5
    assert len(PageReader((tmp_path / "evaluate/report.html").read_text()).pictures) >= 3, "worst failures are shown"
    place.run_words("export-model", str(tmp_path / "train/export"), str(tmp_path / "out"))
    assert "Qwen2_5_VLForBasereward" in (tmp_path / "out/config.json").read_text()
