"""The recipes of a sweep's trials, and what ``--dry-run`` prints of them; nothing is started."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from prepared_toys import mixed_toy, write_toy

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RecipeError
from jobs.cli.main import main
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.recipe.sweep_config import SweepConfig
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.shared import TrialRecipes, check_suites_reading
from jobs.sweep.trials import TrialSpec, expand

SOURCES = [{"name": "one", "path": "one.jsonl"}, {"name": "two", "path": "two.jsonl"}]


def written(tmp_path: Path, **sections: Any) -> str:
    path = tmp_path / "mine.yaml"
    recipe = {"run_dir": str(tmp_path / "run"), "preprocess": {"sources": SOURCES}, **sections}
    path.write_text(yaml.safe_dump(recipe), encoding="utf8")
    return str(path)


def placed(tmp_path: Path, parameters: Mapping[str, Any], **sections: Any) -> tuple[Recipe, list[Recipe]]:
    """The recipe of a sweep, and those of its trials."""
    name = written(tmp_path, sweep={"parameters": parameters}, **sections)
    base = load_recipe(name)
    folder = SweepFolder(base.sweep.output)
    trial_recipes = TrialRecipes(base=base, variants=partial(load_recipe, name, []), folder=folder)
    return base, [trial_recipes.recipe_of(spec) for spec in expand(base.sweep)]


def test_trials_have_folders_of_their_own_and_share_model_and_data(tmp_path: Path) -> None:
    base, [one, two] = placed(tmp_path, {"train.head.layers": [1, 2]})
    assert (one.train.head.layers, two.train.head.layers) == (1, 2)
    assert one.train.output != two.train.output
    assert one.train.output.startswith(f"{base.sweep.output}/trials/")
    assert one.evaluate.model == f"{one.train.output}/export"
    for trial in (one, two):
        assert (trial.train.model, trial.train.data) == (base.train.model, base.train.data)
        assert trial.tracking == base.tracking
        assert trial.sweep == SweepConfig()  # a trial is no sweep


def test_sizes_of_a_backbone_share_the_data_and_have_folders_of_their_own(tmp_path: Path) -> None:
    base, [same, other] = placed(tmp_path, {"init_model.shape": ["tiny", "qwen2-vl-tiny"]})
    assert same.train.model == base.init_model.output
    assert other.train.model == other.init_model.output != base.init_model.output
    assert other.train.model.startswith(f"{base.sweep.output}/models/")
    assert same.train.data == other.train.data == base.preprocess.output


def test_another_tokenizer_or_other_data_is_prepared_in_a_folder_of_its_own(tmp_path: Path) -> None:
    base, [same, other] = placed(tmp_path, {"init_model.vocab_size": [1024, 512]})
    assert same.train.data == base.train.data
    assert other.train.data == other.evaluate.data == other.preprocess.output != base.train.data
    base, [one, two] = placed(tmp_path, {"data": {n: {"preprocess.mixture.only": [n]} for n in ("one", "two")}})
    assert len({base.train.data, one.train.data, two.train.data}) == 3
    assert one.evaluate.data == one.train.data
    held_out = {"data": str(tmp_path / "run" / "shards")}
    base, [one, _] = placed(
        tmp_path, {"data": {n: {"preprocess.mixture.only": [n]} for n in ("one", "two")}}, evaluate=held_out
    )
    assert one.train.data != one.evaluate.data == base.preprocess.output


def test_a_trial_whose_settings_are_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"trial 'num_layers=3, seed 0'.*no key.*did you mean 'layers'"):
        placed(tmp_path, {"train.head.num_layers": [3]})
    with pytest.raises(RecipeError, match=r"trial 'layers=many, seed 0'"):
        placed(tmp_path, {"train.head.layers": ["many"]})


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    sizes = {
        "3b": {"plan.shape": "3b", "train.num_workers": 8},
        "7b": {"plan.shape": "7b", "train.num_workers": 16, "train.zero.stage": 3},
    }
    name = written(
        tmp_path,
        sweep={"parameters": {"backbone": sizes}, "seeds": [0, 1]},
        plan={"comparisons": 1_000_000},
        train={"activation_checkpointing": "full"},
    )
    [first, *_] = expand(load_recipe(name).sweep)
    folder = SweepFolder(str(tmp_path / "run" / "sweep"))
    folder.write_state(TrialState(spec=first, state="finished"))
    assert main(["sweep", name, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if "init" not in line and "plan.shape=" in line]
    assert len(rows) == 4
    cells = [cell.strip() for cell in rows[0].split("│")[1:-1]]
    assert cells[:6] == [first.id, "3b", "0", "finished", "plan.shape=3b, train.num_workers=8", "8"]
    assert cells[6] == "1,000,000" and float(cells[7]) > 0 and cells[8].startswith("$")
    assert "3 to do, 1 done; the largest on 16 GPUs" in printed
    assert "GPU hours, $" in printed and "nothing was started" in printed
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["mine.yaml", "trial.json"]


def test_a_dry_run_of_a_search_shows_its_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = {"train.optimizer.learning_rate": "loguniform(1e-6, 1e-4)", "train.head.activation": "choice(silu, tanh)"}
    name = written(tmp_path, sweep={"method": "search", "parameters": axes, "num_samples": 7})
    assert main(["sweep", name, "--dry-run", "sweep.metric=text_accuracy"]) == 0
    printed = capsys.readouterr().out
    assert "a search of 7 trials" in printed and "loguniform from 1e-06 to 0.0001" in printed
    assert "silu, tanh" in printed and "7 to do, 0 done" in printed


def test_a_sweep_measures_on_a_split_and_may_rank_by_a_benchmark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = written(tmp_path, sweep={"parameters": {"plan.shape": ["3b"]}, "metric": "suite/vl_rewardbench/overall"})
    assert main(["sweep", name, "--dry-run"]) == 0
    for wrong in ("evaluate.split=null", "evaluate.rewards=given.jsonl"):
        assert main(["sweep", name, "--dry-run", wrong]) == 2
        assert "a sweep measures each trial's model on a split" in " ".join(capsys.readouterr().err.split())
    assert main(["sweep", name, "--dry-run", "sweep.metric=suite/vl_rewardbank/overall"]) == 2


def test_data_that_benchmarks_would_be_read_otherwise_than_are_refused_before_a_trial_trains(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    write_toy(shards, mixed_toy(3))
    reading = Manifest.read(f"{shards}/manifest.json").reading
    said = {"output": str(shards), "sources": [], "rules": {"max_tokens": reading.max_tokens}}
    media = {"max_source_pixels": reading.max_source_pixels, "max_source_bytes": reading.max_source_bytes}
    said |= {"media": media, "encode": asdict(reading.encode)}
    suites = {"suites": ["rm_bench"], "suite_root": str(tmp_path)}
    check_suites_reading(load_recipe(written(tmp_path, preprocess=said, evaluate=suites)))
    wrong = said | {"encode": {**said["encode"], "max_pixels": 100_352}}
    check_suites_reading(load_recipe(written(tmp_path, preprocess=wrong)))
    with pytest.raises(RecipeError, match=r"which says how evaluate\.suites are read.*max_pixels is \d+ .* 100352"):
        check_suites_reading(load_recipe(written(tmp_path, preprocess=wrong, evaluate=suites)))


def test_a_flag_belongs_to_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", written(tmp_path), "--dry-run"])
    assert "unknown arguments: --dry-run" in capsys.readouterr().err


def test_optuna_goes_on_from_what_is_known() -> None:
    from jobs.sweep.axes import axes_of
    from jobs.sweep.search import Search, Suggestions
    from jobs.sweep.trials import spec_of_picks

    axes = axes_of({"train.head.layers": "int(1, 3)", "train.head.activation": "choice(silu, tanh)"}, search=True)
    done, cut_off = (
        spec_of_picks(axes, {"train.head.layers": layers, "train.head.activation": "silu"}, 0) for layers in (1, 2)
    )
    search = Search(
        axes=axes, seed=0, mode="max", known={done.id: done, cut_off.id: cut_off}, values={done.id: 0.5}, left=9
    )
    picked: list[TrialSpec] = []
    suggestions = Suggestions([cut_off], search, picked.append)
    assert suggestions.suggest("t0") == {"trial": cut_off.id}  # first what was cut off
    suggestions.on_trial_complete("t0", {"metric": 0.6})
    given = []
    for turn in range(1, 12):
        one = suggestions.suggest(f"t{turn}")
        if one == "FINISHED":
            break
        given.append(one["trial"])
        suggestions.on_trial_complete(f"t{turn}", {"metric": 0.1 * turn})
    assert given == [spec.id for spec in picked]
    assert len(set(given)) == len(given) == 6 - 2  # each point once; there are no more
    assert not {done.id, cut_off.id} & set(given)
    values = sorted(trial.value for trial in suggestions._optuna._ot_study.trials if trial.value is not None)
    assert {0.5, 0.6} <= set(values)
