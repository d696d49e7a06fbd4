"""What becomes of trials, on a real MLflow store: states, the table of results, and runs that nobody else could end."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from jobs.recipe.schema import Recipe, TrackingConfig
from jobs.recipe.sweep_config import StopEarlyConfig, SweepConfig
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.progress import SweepProgress, results_rows
from jobs.sweep.trials import TrialSpec, expand
from jobs.tracking.tracker import Tracker
from rm_core.scaling.series import TrialPoint


def point_of(spec: TrialSpec, accuracy: float) -> TrialPoint:
    return TrialPoint(
        id=spec.id, label=spec.label, axes=dict(spec.axes), overrides=dict(spec.overrides), seed=0, num_parameters=10,
        num_comparisons=20, compute_flops=3e3, gpu_hours=0.5, cost=None, accuracy=accuracy, log_loss=0.5,
        train_loss=0.4, by_source={}, mlflow_run_id="r",
    )  # fmt: skip


def test_every_end_of_a_trial_is_kept_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Recipe(
        name="mine",
        sweep=SweepConfig(parameters={"train.head.layers": [1, 2, 3, 4, 5]}, stop_early=StopEarlyConfig()),
        tracking=TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"),
    )
    folder = SweepFolder(str(tmp_path / "sweep"))
    specs = expand(recipe.sweep)
    states = {spec.id: TrialState(spec=spec) for spec in specs}
    recipes = {spec.id: Recipe(name="mine", tracking=recipe.tracking) for spec in specs}
    for spec in specs:
        recipes[spec.id].train.output = folder.of_trial(spec.id, "train")
    tracker = Tracker(recipe.tracking, run_dir=folder.url, run_name="mine")
    ends: list[str] = []
    progress = SweepProgress(recipe, folder, recipes, states, tracker, lambda: ends[0] if ends else None)
    lines: list[str] = []
    progress.show(lambda done, note: lines.append(f"{done}: {note}"))
    good, better, stopped, broken, cut_off = (spec.id for spec in specs)
    for trial in states:
        progress.started(trial)
    progress.progressed(good, {"step": 3, "num_steps": 9, "note": "loss 0.5"})
    assert lines[-1].startswith("0: 5 running; layers=1, seed 0: step 3 of 9, loss 0.5; layers=2, seed 0: starts")
    for spec, accuracy in ((specs[0], 0.6), (specs[1], 0.7)):
        folder.write_point(point_of(spec, accuracy), {"accuracy": accuracy, "over_length": accuracy - 0.55})
    progress.ended(good, {"state": "finished", "reason": ""})
    progress.ended(better, {"step": 8, "num_steps": 9})  # told to end when it was at its end already
    progress.ended(stopped, {"step": 3, "num_steps": 9, "loss": 0.9})
    run = Tracker(recipe.tracking, run_dir=recipes[broken].train.output, run_name="b", parent=tracker.run_id).run_id
    progress.failed(broken, "RunError: x", again=True)
    assert states[broken].state == "running"
    progress.failed(broken, "its process died", again=False)
    ends.append("SIGTERM: ended")
    progress.interrupted()
    kept = folder.states()
    assert {trial: state.state for trial, state in kept.items()} == {
        good: "finished", better: "finished", stopped: "stopped", broken: "failed", cut_off: "pending"
    }  # fmt: skip
    assert kept[stopped].reason.endswith("its loss of 0.9000 was not among the best 1 in 3")
    assert (kept[cut_off].reason, kept[cut_off].attempts) == ("SIGTERM: ended", 1)
    assert lines[-1] == "4: 0 running; 1 failed; 1 stopped"
    assert "layers=4, seed 0 failed: RunError: x; it starts again" in capsys.readouterr().out

    client = MlflowClient(tracking_uri=tracker.uri)
    child = client.get_run(run)
    assert (child.info.status, child.data.tags["ended"]) == ("FAILED", "its process died")
    assert child.data.tags["mlflow.parentRunId"] == tracker.run_id
    parent = client.get_run(tracker.run_id)
    assert parent.data.metrics == {"sweep/finished": 2.0, "sweep/best_accuracy": 0.7}
    _, rows = results_rows(recipe, folder, list(kept.values()))
    assert [row[0] for row in rows[:2]] == ["layers=2", "layers=1"]  # the best first
    assert "| layers=2 | 0 | 0.7000 | 0.5000 | +0.1500 | finished |" in parent.data.tags["mlflow.note.content"]
