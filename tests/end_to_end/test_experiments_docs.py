"""docs/experiments.md from top to bottom: a sweep, a comparison, an ensemble, its champion, loaded by pyfunc."""

import re
import shlex
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from data_pipeline.synthetic import write_synthetic
from jobs.cli.main import main
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import open_cluster
from jobs.sweep.trials import expand

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
QUICK = [("max_steps: 120", "max_steps: 6"), ("checkpoint_every: 40", "checkpoint_every: 3"), ("[0, 1]", "[0]")]
"""Six short trials in place of hours: what the page writes besides runs as it is."""


def recipes(folder: Path) -> None:
    """Write the page's recipes."""
    for kind, name, text in BLOCKS:
        if kind == "yaml":
            (folder / name).write_text(text, encoding="utf-8")


def test_trials_have_the_names_that_the_page_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipes(tmp_path)
    trials = {spec.id: spec.name for spec in expand(load_recipe("sizes.yaml", []).sweep)}
    assert len(trials) == 6
    for member in load_recipe("three.yaml", []).ensemble.members:
        [trial] = [name for known, name in trials.items() if f"/{known}/" in member.model]
        assert trial == f"{member.name}, seed 0"
    assert len(expand(load_recipe("real.yaml", []).sweep)) == 6


@pytest.mark.drill
def test_the_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for Ray's workers, where nothing is installed
    recipes(tmp_path)
    quick = Path("sizes.yaml").read_text(encoding="utf-8")
    for written, instead in QUICK:
        assert written in quick
        quick = quick.replace(written, instead)
    Path("sizes.yaml").write_text(quick, encoding="utf-8")
    write_synthetic("runs/demo/raw", num_comparisons=400, seed=0)
    commands = [shlex.split(line) for kind, _, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    assert commands[0] == ["basereward", "demo"] and len(commands) == 7
    with open_cluster(ClusterConfig(num_cpus=2)):
        for words in commands[1:]:
            assert main(words[1:]) == 0, (words, capsys.readouterr())
    assert "is the champion" in capsys.readouterr().out
    [code] = [text for kind, _, text in BLOCKS if kind == "python"]
    found: dict[str, pd.DataFrame] = {}
    before = mlflow.get_tracking_uri()
    try:
        exec(code, found)  # what the page says
    finally:
        mlflow.set_tracking_uri(before)
    assert [len(one) for one in found["scores"]["rewards"]] == [2]
