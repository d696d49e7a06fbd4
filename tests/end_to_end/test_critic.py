"""A critic from records to rewards by commands: trained, evaluated with critiques that it writes, and scoring lines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_pipeline.synthetic import write_synthetic

ROOT = Path(__file__).parents[2]
SMALL = ("init_model.shape=nano", "cluster.num_cpus=2", "train.num_workers=2", "train.max_steps=6", "train.log_every=2")
FEW = ("evaluate.limit=6", "evaluate.bootstrap_samples=50", "evaluate.critiques.max_tokens=6")


def basereward(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.drill
def test_the_packaged_recipe_runs_from_records_to_rewards(tmp_path: Path) -> None:
    raw = tmp_path / "runs" / "demo_critic" / "raw"
    write_synthetic(str(raw), num_comparisons=60, seed=0, wrong_critiques=0.1)
    for command in ("init-model", "preprocess", "train"):
        basereward(tmp_path, command, "demo_critic", *SMALL)
    run = tmp_path / "runs" / "demo_critic"
    assert json.loads((run / "train" / "export" / "paradigm.json").read_text()) == {"paradigm": "critic"}
    shown = basereward(tmp_path, "evaluate", "demo_critic", *SMALL, *FEW)
    assert "tokens written" in shown
    lines = [json.loads(line) for line in (run / "evaluate" / "critiques" / "heldout.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and all(line["critique_tokens"] > 0 for line in lines)
    given = ("score.critiques.source=given", f"score.input={raw}/captions/captions.jsonl")
    basereward(tmp_path, "score", "demo_critic", *SMALL, *given)
    scored = [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]
    assert sum(line["rewards"] is not None for line in scored) > 10
