"""docs/sweeps.md against the code: its recipes load and plan, its commands run, every key is on it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from jobs.cli.main import main
from jobs.recipe.load import load_recipe
from jobs.recipe.sweep_config import SweepConfig

PAGE = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RECIPES = {name: text for kind, name, text in BLOCKS if kind == "yaml"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in RECIPES.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_every_block_is_of_a_kind_that_runs() -> None:
    assert {kind for kind, _, _ in BLOCKS} == {"yaml", "sh"}
    assert sorted(RECIPES) == ["data", "heads", "search", "sizes"]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_can_be_planned(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", f"{name}.yaml", "--dry-run"]) == 0, capsys.readouterr().err
    assert "nothing was started" in capsys.readouterr().out
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    "command", [line for k, note, t in BLOCKS if (k, note) == ("sh", "") for line in t.splitlines()]
)
def test_commands_run(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()[1:]) == 0, capsys.readouterr().err


def test_the_grid_is_of_as_many_trials_as_the_page_says(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "sizes.yaml", "--dry-run"]) == 0
    assert "8 to do, 0 done" in capsys.readouterr().out


def test_every_key_is_on_the_page_with_its_default() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE, re.MULTILINE)
    told = {key: default for keys, default in rows for key in re.findall(r"`(\w+)`", keys)}
    assert {field.name for field in fields(SweepConfig)} <= set(told)
    defaults = SweepConfig()
    for key in ("method", "seeds", "num_samples", "max_failures"):
        assert told[key] == str(getattr(defaults, key))


def test_the_data_sweep_is_measured_on_the_recipes_own(place: Path) -> None:
    recipe = load_recipe("data.yaml")
    assert recipe.evaluate.data == recipe.preprocess.output
