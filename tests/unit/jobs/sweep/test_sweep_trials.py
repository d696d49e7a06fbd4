"""The trials of a sweep: which there are, what they are called, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.errors import RecipeError
from jobs.recipe.sweep_config import StopEarlyConfig, SweepConfig, check_sweep_config
from jobs.sweep.axes import Choices, Range, axes_of
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.trials import TrialSpec, axis_labels, expand, fits, picks_of, spec_of_picks
from rm_core.scaling.series import TrialPoint

SIZES = {"3b": {"init_model.shape": "3b", "train.num_workers": 8}, "7b": {"init_model": {"shape": "7b"}}}
GRID = {"backbone": SIZES, "train.head.layers": [1, 2]}
RATE = "train.optimizer.learning_rate"


def checked(config: SweepConfig) -> list[TrialSpec]:
    check_sweep_config(config)
    return expand(config)


def test_a_grid_is_every_combination_with_every_seed() -> None:
    trials = expand(SweepConfig(parameters=GRID, seeds=[0, 5]))
    assert [trial.name for trial in trials[:5]] == [
        "3b, layers=1, seed 0",
        "3b, layers=1, seed 5",
        "3b, layers=2, seed 0",
        "3b, layers=2, seed 5",
        "7b, layers=1, seed 0",
    ]
    assert len(trials) == 8
    last = trials[-1]
    assert last.overrides == {"init_model.shape": "7b", "train.head.layers": 2}
    assert last.settings == {"init_model.shape": "7b", "train.head.layers": 2, "train.seed": 5}
    assert last.axes == {"backbone": "7b", "train.head.layers": "2"}
    assert axis_labels(trials) == {"backbone": ["3b", "7b"], "train.head.layers": ["1", "2"]}


def test_a_label_of_null_is_left_out() -> None:
    axis = {"size": {"small": {"train.max_steps": 1}, "large": None}}
    assert [one.label for one in expand(SweepConfig(parameters=axis))] == ["small"]
    with pytest.raises(RecipeError, match=r"sweep.parameters.size: all of its labels \(small\) are null"):
        expand(SweepConfig(parameters={"size": {"small": None}}))


def test_a_list_is_its_points() -> None:
    [one, two] = expand(SweepConfig(method="list", points={"a": {RATE: 1e-3}, "b": {RATE: 1e-4}}))
    assert (one.label, one.axes, one.overrides) == ("a", {"point": "a"}, {RATE: 1e-3})
    assert two.id != one.id


def test_an_id_is_of_overrides_and_seed_alone() -> None:
    [trial] = expand(SweepConfig(parameters={"train.head.layers": [2]}))
    assert trial.id == "ccc5596d54ea"
    [bundled] = expand(SweepConfig(parameters={"depth": {"two": {"train": {"head": {"layers": 2}}}}}))
    [listed] = expand(SweepConfig(method="list", points={"other words": {"train.head.layers": 2}}))
    assert {bundled.id, listed.id} == {trial.id}
    both = expand(SweepConfig(parameters=GRID, seeds=[0, 5]))
    reordered = expand(SweepConfig(parameters=dict(reversed(GRID.items())), seeds=[5, 0]))
    assert {one.id for one in both} == {one.id for one in reordered}
    assert len({one.id for one in both}) == 8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parameters": {}}, r"sweep\.parameters is empty.*train\.head\.layers: \[1, 2, 3\]"),
        (
            {"method": "gird", "parameters": GRID},
            r"sweep\.method='gird' must be one of grid, list, search",
        ),
        ({"method": "list", "parameters": GRID}, r"sweep\.points is empty"),
        ({"method": "list", "parameters": GRID, "points": SIZES}, r"sweep\.parameters is not read"),
        ({"parameters": GRID, "seeds": []}, r"sweep\.seeds=\[\] must be one or more different numbers"),
        ({"parameters": GRID, "seeds": [1, 1]}, r"sweep\.seeds=\[1, 1\]"),
        ({"parameters": GRID, "metric": "acuracy"}, r"sweep\.metric='acuracy'.*did you mean 'accuracy'"),
        ({"parameters": GRID, "mode": "best"}, r"sweep\.mode='best'"),
        ({"parameters": GRID, "max_concurrent": 0}, r"sweep\.max_concurrent=0 must be at least 1"),
        ({"parameters": GRID, "max_failures": -1}, r"sweep\.max_failures=-1"),
        ({"parameters": GRID, "report": "page"}, r"sweep\.report='page'"),
        ({"parameters": GRID, "stop_early": StopEarlyConfig(reduction=1)}, r"reduction=1 must be above 1"),
        ({"parameters": GRID, "stop_early": StopEarlyConfig(grace_steps=0)}, r"grace_steps=0 must be at least 1"),
        ({"method": "search", "parameters": GRID, "seeds": [0, 1]}, r"a search takes one"),
        ({"parameters": {"train.head.layers": []}}, r"sweep\.parameters\.train\.head\.layers is empty"),
        ({"parameters": {"backbone": ["3b", "7b"]}}, r"'backbone' is no config key.*backbone: \{small:"),
        ({"parameters": {"size (b)": SIZES}}, r"sweep\.parameters: 'size \(b\)' can't be a name"),
        ({"parameters": {"size": {"a, b": {"train.head.layers": 1}}}}, r"size: 'a, b' can't be a name"),
        ({"method": "list", "points": {"a, b": {"train.head.layers": 1}}}, r"points: 'a, b' can't be a name"),
        ({"parameters": {"backbone": {"3b": "3b"}}}, r"backbone\.3b is '3b', but has to be a bundle"),
        ({"parameters": {"train.seed": [1, 2]}}, r"set sweep\.seeds"),
        ({"parameters": {"run_dir": {"a": {"run_dir": "x"}}}}, r"sets run_dir, which is one for all trials"),
        ({"parameters": {"x": {"a": {"tracking.uri": "x"}}}}, r"sets tracking\.uri, which is one for all"),
        ({"parameters": {RATE: [1e-3, 0.001]}}, r"has 0\.001 twice"),
        ({"parameters": {RATE: "uniform(0, 1)"}}, r"a distribution needs sweep\.method=search"),
        ({"parameters": {"x": {"a": {RATE: 1}}, RATE: [1, 2]}}, r"which another axis sets too"),
        ({"parameters": {"x": {"a": {RATE: 1}, "b": {RATE: 1}}}}, r"'a' and 'b' set the same"),
    ],
)
def test_what_is_wrong_is_refused_with_its_cure(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        checked(SweepConfig(**settings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lognormal(0, 1)", r"no distribution is called 'lognormal': did you mean 'loguniform'"),
        ("beta(0, 1)", r"there are uniform, loguniform, int, choice"),
        ("uniform(1, 0)", r"has to be uniform\(LOW, HIGH\)"),
        ("uniform(1)", r"two numbers"),
        ("uniform(0, .inf)", r"two numbers"),
        ("loguniform(0, 1)", r"has to be above 0"),
        ("int(0.5, 3)", r"whole numbers"),
        ("choice()", r"is empty"),
        ("1e-6 to 1e-4", r"has to be a distribution"),
    ],
)
def test_a_distribution_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        axes_of({RATE: text}, search=True)


def test_what_a_search_picks_is_a_trial_and_can_be_found_again() -> None:
    axes = axes_of(
        {
            RATE: "loguniform(1e-6, 1e-4)",
            "train.head.layers": "int(1, 5)",
            "train.head.activation": "choice(silu, tanh)",
            "backbone": SIZES,
        },
        search=True,
    )
    assert axes[RATE] == Range(kind="loguniform", low=1e-6, high=1e-4)
    assert isinstance(axes["backbone"], Choices)
    picks = {RATE: 2.5e-05, "train.head.layers": 3, "train.head.activation": "tanh", "backbone": "7b"}
    spec = spec_of_picks(axes, picks, seed=4)
    assert spec.overrides == {
        RATE: 2.5e-05, "train.head.layers": 3, "train.head.activation": "tanh", "init_model.shape": "7b"
    }  # fmt: skip
    again = TrialSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert (again, again.id) == (spec, spec.id)
    assert picks_of(axes, again) == picks
    assert fits(axes, again)
    narrower = axes | {RATE: Range(kind="loguniform", low=1e-6, high=1e-5)}
    assert not fits(narrower, again)
    assert not fits({RATE: axes[RATE]}, again)


def test_a_folder_knows_how_far_its_trials_are(tmp_path: Path) -> None:
    folder = SweepFolder(str(tmp_path))
    [spec] = expand(SweepConfig(parameters={"train.head.layers": [2]}))
    assert folder.states() == {}
    (tmp_path / "trials" / spec.id / "train").mkdir(parents=True)
    (tmp_path / "trials" / spec.id / "train" / "job_state.json").write_text('{"mlflow_run_id": "r1"}')
    folder.write_state(TrialState(spec=spec, state="running", attempts=1))
    assert folder.states() == {spec.id: TrialState(spec=spec, state="running", attempts=1, mlflow_run_id="r1")}
    point = TrialPoint(
        id=spec.id, label=spec.label, axes=dict(spec.axes), overrides=dict(spec.overrides), seed=0, num_parameters=10,
        num_comparisons=20, compute_flops=3e3, gpu_hours=0.5, cost=None, accuracy=0.75, log_loss=0.5, train_loss=0.4,
        by_source={"a": 0.75}, mlflow_run_id="r1",
    )  # fmt: skip
    folder.write_point(point, {"accuracy": 0.75})
    assert folder.point_of(spec.id) == point
    assert folder.numbers_of(spec.id) == {"accuracy": 0.75}
    trial = tmp_path / "trials" / spec.id / "trial.json"
    assert json.loads(trial.read_text())["state"] == "running"
    [state] = folder.states().values()
    assert state.state == "finished"  # though the driver died before it could write so
    folder.settle(state)
    assert json.loads(trial.read_text())["state"] == "finished"
