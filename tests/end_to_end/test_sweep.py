"""Sweeps as a user runs them: killed and resumed, ended early, with a trial that fails."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from training_runs import PATIENCE_S, ended, series_of
from workplace import Workplace, kill_tree

pytestmark = pytest.mark.drill

NUM_STEPS = 12
RATE = "train.optimizer.learning_rate"
TRAIN = {"num_workers": 1, "max_steps": NUM_STEPS, "checkpoint_every": 4, "log_every": 1}


def started(
    workplace: Workplace, name: str, sweep: dict[str, object]
) -> tuple[Path, Callable[[], subprocess.Popen[str]]]:
    """The folder of a sweep over the workplace's data, and what starts it."""
    recipe = yaml.safe_load(workplace.recipe.read_text())
    recipe["train"] |= TRAIN
    recipe |= {"sweep": sweep | {"output": f"{workplace.folder}/{name}"}, "cluster": {"num_cpus": 2}}
    recipe["tracking"] = {"uri": f"sqlite:///{workplace.folder}/{name}/mlflow.db"}
    path = workplace.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    overriding = Workplace.__new__(Workplace)
    overriding.folder, overriding.recipe = workplace.folder, path
    return workplace.folder / name, lambda: overriding.start("sweep")


def wait_for(process: subprocess.Popen[str], what: str, there: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 2 * PATIENCE_S
    while not there():
        assert process.poll() is None, process.communicate()[0]
        if time.monotonic() > deadline_s:
            kill_tree(process.pid)
            raise AssertionError(f"no {what}:\n{process.communicate()[0]}")
        time.sleep(0.05)


def states_of(folder: Path) -> dict[str, dict[str, object]]:
    """The states of all trials, by label and seed."""
    states = [json.loads(path.read_text()) for path in folder.glob("trials/*/trial.json")]
    return {f"{state['label']}, {state['seed']}": state for state in states}


def files_of(trial: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(trial)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(trial.rglob("*"))
        if path.is_file()
    }


def test_a_killed_sweep_goes_on_and_leaves_finished_trials_as_they_are(workplace: Workplace) -> None:
    """Three sizes, two at once on two CPUs. One size has a tokenizer, and so data, of its own."""
    sizes = {
        "windows": {"init_model.shape": "tiny"},
        "no windows": {"init_model.shape": "qwen2-vl-tiny"},
        "more words": {"init_model.vocab_size": 600},
    }
    folder, start = started(
        workplace,
        "killed",
        {"parameters": {"size": sizes}, "seeds": [0]},
    )

    def half_way() -> bool:
        done = {path.parent for path in folder.glob("trials/*/point.json")}
        return bool(done) and any(
            path.parents[3] not in done for path in folder.glob("trials/*/train/checkpoints/*/C*")
        )

    process = start()
    wait_for(process, "finished trial beside a checkpoint", half_way)
    kill_tree(process.pid)
    process.communicate(timeout=30)
    finished = {path.parent: files_of(path.parent) for path in folder.glob("trials/*/point.json")}
    assert 0 < len(finished) < 3
    cut_off = {
        path.parents[3].name: int(path.parent.name.removeprefix("step-"))
        for path in folder.glob("trials/*/train/checkpoints/step-*/COMPLETE.json")
        if path.parents[3] not in finished and not (path.parents[3] / "train/export/model.json").exists()
    }

    printed = ended(start())
    assert f"{3 - len(finished)} trials to do, {len(finished)} done" in printed
    states = states_of(folder)
    assert {state["state"] for state in states.values()} == {"finished"}
    assert len(states) == len(list(folder.glob("trials/*/point.json"))) == 3
    for trial, before in finished.items():
        after = files_of(trial)
        del before["trial.json"], after["trial.json"]  # the driver may have been killed before it wrote "finished"
        assert after == before
    assert len(list((folder / "models").iterdir())) == 2
    assert len(list((folder / "data").iterdir())) == 1

    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    parent = json.loads((folder / "job_state.json").read_text())["mlflow_run_id"]
    assert json.loads((folder / "sweep.json").read_text())["mlflow_run_id"] == parent
    experiment = client.get_experiment_by_name("basereward")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
    assert (len(runs), len(children)) == (4, 3)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.info.run_id for run in children} == {state["mlflow_run_id"] for state in states.values()}
    assert {run.data.tags["axis.size"] for run in children} == set(sizes)
    for trial in folder.glob("trials/*"):
        series = series_of(trial, "train", f"sqlite:///{folder}/mlflow.db")
        assert [step for step, _ in series["train/loss"]] == list(range(1, NUM_STEPS + 1))
    for trial in cut_off:
        assert "is finished already" not in (folder / "trials" / trial / "log.txt").read_text()
    page = client.get_run(parent).data.tags["mlflow.note.content"]
    assert page.count("| finished |") == 3
    assert client.get_run(parent).data.metrics["sweep/finished"] == 3
    points = [json.loads(path.read_text()) for path in folder.glob("trials/*/point.json")]
    by_size = {point["label"]: point["num_parameters"] for point in points}
    assert len(set(by_size.values())) == 3
    assert {point["num_comparisons"] for point in points} == {NUM_STEPS * 8}
    assert all(point["gpu_hours"] > 0 and point["cost"] is None for point in points)

    [trial] = [one for one in states.values() if one["label"] == "more words"]  # with data of its own
    output = folder / "trials" / str(trial["id"]) / "train"
    to_evaluate, _ = workplace.shown_commands(output, f"sqlite:///{folder}/mlflow.db")
    assert "Evaluation of" in workplace.run_words(*to_evaluate)

    again = ended(start())
    assert "all 3 trials" in again and "finished already" in again


def test_trials_end_early_or_fail_while_the_others_finish(workplace: Workplace) -> None:
    """Ended by SIGTERM in the first trial; then one is stopped behind it, and one fails for good; one at a time."""
    points = {
        "a good": {RATE: 1e-3, "train.max_steps": 30},
        "b behind": {RATE: 1e-5, "train.max_steps": 400},
        "c broken": {RATE: 1e30, "train.health.max_skipped_steps": 0},
    }
    folder, start = started(
        workplace,
        "early",
        {
            "method": "list",
            "points": points,
            "max_concurrent": 1,
            "max_failures": 0,
            "stop_early": {"grace_steps": 4, "reduction": 2},
        },
    )
    process = start()
    wait_for(process, "checkpoint", lambda: bool(list(folder.glob("trials/*/train/checkpoints/*/COMPLETE.json"))))
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, printed
    client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    states = states_of(folder)
    assert {state["state"] for state in states.values()} == {"pending"}
    run = client.get_run(str(states["a good, 0"]["mlflow_run_id"]))
    assert (run.info.status, run.data.tags["ended"].partition(":")[0]) == ("KILLED", "SIGTERM")

    printed = ended(start(), code=1)
    states = states_of(folder)
    assert {name: state["state"] for name, state in states.items()} == {
        "a good, 0": "finished", "b behind, 0": "stopped", "c broken, 0": "failed"
    }, printed  # fmt: skip
    assert "was not among the best 1 in 2" in str(states["b behind, 0"]["reason"])
    behind = client.get_run(str(states["b behind, 0"]["mlflow_run_id"]))
    assert behind.info.status == "KILLED" and "stopped early after step" in behind.data.tags["ended"]
    kept = sorted((folder / "trials" / str(states["b behind, 0"]["id"])).glob("train/checkpoints/step-*/COMPLETE.json"))
    assert kept, "a stopped trial keeps a checkpoint"
    assert behind.data.metrics["train/progress"] < 1
    broken = client.get_run(str(states["c broken, 0"]["mlflow_run_id"]))
    assert broken.info.status == "FAILED" and "gradient norm inf" in broken.data.tags["ended"]
    assert "1 of 3 trials failed: c broken, seed 0" in printed
    parent = client.get_run(json.loads((folder / "job_state.json").read_text())["mlflow_run_id"])
    assert parent.info.status == "FAILED" and "broken" in parent.data.tags["ended"]
    assert os.path.getsize(folder / "report" / "points.csv") > 0
