"""docs/ensembles.md against the code: its commands and its Python run in order, its keys and rules exist."""

import re
from dataclasses import fields
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from data_pipeline.synthetic import write_synthetic
from jobs.cli.main import main
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import open_cluster
from rm_core.ensembles.config import AVERAGE, GateConfig
from rm_core.ensembles.ensemble import RULES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ensembles.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PREPARE = [["init-model", "demo"], ["preprocess", "demo"]]
"""In place of `basereward demo`, which trains for minutes."""


def test_every_rule_and_every_key_of_the_gate_is_explained() -> None:
    assert [rule for rule in (*RULES, AVERAGE) if f"| `{rule}` |" not in PAGE] == []
    keys = {field.name for field in fields(GateConfig)} - {"bootstrap_samples"}
    assert [key for key in keys if f"`{key}`" not in PAGE] == []


@pytest.mark.drill
def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for Ray's workers, where nothing is installed
    for kind, name, text in BLOCKS:
        if kind == "yaml":
            Path(name).write_text(text, encoding="utf-8")
    write_synthetic("runs/demo/raw", num_comparisons=400, seed=0)
    commands = [line.split() for kind, _, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert commands[0] == ["basereward", "demo"] and len(commands) == 7
    with open_cluster(ClusterConfig(num_cpus=2)):
        for arguments in [*PREPARE, *(words[1:] for words in commands[1:])]:
            assert main(arguments) == 0, (arguments, capsys.readouterr())
    printed = capsys.readouterr().out
    assert "models:/pair/1 is the champion" in printed and "champion" in printed.rpartition("Models in")[2]
    [code] = [text for kind, _, text in BLOCKS if kind == "python"]
    found: dict[str, pd.DataFrame] = {}
    before = mlflow.get_tracking_uri()
    try:
        exec(code, found)  # what the page says
    finally:
        mlflow.set_tracking_uri(before)
    assert [len(one) for one in found["scores"]["rewards"]] == [2, 3]
    assert 0 < found["scores"]["probability"][0] < 1
