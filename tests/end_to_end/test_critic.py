"""A critic from records to rewards by commands: trained, evaluated with critiques that it writes, and scoring lines."""

import json
from pathlib import Path

import pytest
from demo_commands import SMALL, basereward

from data_pipeline.synthetic import write_synthetic

FEW = ("evaluate.limit=6", "evaluate.bootstrap_samples=50", "evaluate.critiques.max_tokens=6")


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
