"""A judge that reasons from records to rewards by commands: trained, evaluated by what it writes, and scoring lines."""

import json
from pathlib import Path

import pytest
from demo_commands import SMALL, basereward

from data_pipeline.synthetic import write_synthetic

FEW = (
    "evaluate.limit=4", "evaluate.bootstrap_samples=50", "evaluate.verdicts.max_tokens=6", "score.verdicts.max_tokens=6"
)  # fmt: skip


@pytest.mark.drill
def test_the_packaged_recipe_runs_from_records_to_rewards(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo_reasoning"
    write_synthetic(str(run / "raw"), num_comparisons=120, seed=0, wrong_reasonings=0.1)
    for command in ("init-model", "preprocess", "train"):
        basereward(tmp_path, command, "demo_reasoning", *SMALL)
    said = json.loads((run / "train" / "export" / "paradigm.json").read_text())
    assert (said["paradigm"], said["form"]) == ("generative", "reasoning")
    shown = basereward(tmp_path, "evaluate", "demo_reasoning", *SMALL, *FEW)
    assert "texts without a verdict" in shown
    lines = [json.loads(line) for line in (run / "evaluate" / "verdicts" / "heldout.jsonl").read_text().splitlines()]
    assert len(lines) == 4 and all(line["verdict_tokens"] > 0 for line in lines)
    source = run / "raw" / "captions" / "few.jsonl"
    source.write_text("".join((run / "raw" / "captions" / "captions.jsonl").read_text().splitlines(keepends=True)[:3]))
    basereward(
        tmp_path, "score", "demo_reasoning", *SMALL, *FEW, f"score.input={source}", "score.verdicts.pairs=tournament"
    )
    for line in map(json.loads, (run / "scores.jsonl").read_text().splitlines()):
        assert line["verdict_tokens"] > 0 and (line["rewards"] is None) == line.get("error", "").startswith(
            "no_verdict"
        )
