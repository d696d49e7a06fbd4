"""A training job that evaluates: killed twice it has the points of an undisturbed one; it may end early by them."""

import json
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from suite_toys import write_suite
from training_runs import ended, run_id_of, training_workers, wait_for_checkpoint
from workplace import NUM_STEPS, Workplace, kill_tree

EVALUATED = ("train.evaluate_every=4", "train.checkpoint_every=4", "train.keep_checkpoints=1")
BEST = ("train.best_metric=eval/log_loss", "train.keep_best_checkpoints=1")
SUITE = "mm_rlhf_rewardbench"
CURVES = ("eval/accuracy", "eval/log_loss", "eval/image_accuracy", "eval/text_accuracy", "train/loss")


@pytest.fixture(scope="module")
def suites(workplace: Workplace) -> tuple[str, ...]:
    """A toy of a benchmark, without its pictures."""
    write_suite(workplace.folder / "suites", SUITE)
    return (f"evaluate.suite_root={workplace.folder}/suites", "evaluate.missing_pictures=without")


def points_of(workplace: Workplace, folder: str) -> dict[str, list[tuple[int, float]]]:
    """Every evaluation of a training as the store has it, and the names of all its metrics."""
    client = MlflowClient(tracking_uri=f"sqlite:///{workplace.folder}/mlflow.db")
    run = client.get_run(run_id_of(workplace.folder / folder))
    names = {*CURVES, *(name for name in run.data.metrics if name.startswith(("eval/", "suite/")))}
    history = {name: client.get_metric_history(run.info.run_id, name) for name in names}
    return {name: [(point.step, point.value) for point in points] for name, points in history.items()}


@pytest.mark.drill
def test_a_training_that_is_killed_twice_has_the_points_of_an_undisturbed_one(
    workplace: Workplace, suites: tuple[str, ...]
) -> None:
    asked = (*EVALUATED, *BEST, f"train.evaluate_suites=[{SUITE}]", *suites)
    workplace.run("train", *asked, f"train.output={workplace.folder}/whole")
    output = workplace.folder / "killed"
    arguments = (*asked, f"train.output={output}")
    process = workplace.start("train", *arguments)
    wait_for_checkpoint(process, output, 4)
    kill_tree(process.pid)  # driver and workers at once
    process.communicate(timeout=30)
    process = workplace.start("train", *arguments)
    wait_for_checkpoint(process, output, 12)
    training_workers(process.pid)[1].kill()  # one worker: the driver starts the group again
    assert "restarted 1x" in ended(process)
    whole, killed = points_of(workplace, "whole"), points_of(workplace, "killed")
    steps = [*range(4, NUM_STEPS, 4), NUM_STEPS]
    for name in whole:
        if name.startswith(("eval/", "suite/")):
            assert [step for step, _ in whole[name]] == steps, name
    assert killed == whole
    assert not whole.keys() & {"eval/accuracy_low", "eval/accuracy_high", "eval/num_comparisons"}
    assert {"eval/by_source/captions", "eval/accuracy", f"suite/{SUITE}/acc_plus"} <= whole.keys()
    kept = {int(path.name[5:]) for path in (output / "checkpoints").iterdir()}
    best = min(steps, key=lambda step: dict(whole["eval/log_loss"])[step])
    assert kept == {best, NUM_STEPS}


@pytest.mark.drill
def test_a_metric_that_is_not_there_starts_nothing_and_an_early_end_is_a_finished_run(
    workplace: Workplace, suites: tuple[str, ...]
) -> None:
    output = workplace.folder / "early"
    arguments = (*EVALUATED, "train.early_stopping=2", f"train.output={output}", *suites)
    arguments += (f"train.evaluate_suites=[{SUITE}]",)
    refused = workplace.run("train", *arguments, "train.best_metric=eval/by_source/nobody", code=2)
    assert "there are train/loss, eval/accuracy" in refused
    left = [path.name for path in output.rglob("*") if path.is_file() and not path.name.startswith(".lease-")]
    assert not left, "no claim, no MLflow run, no rows of the suite"
    # So small a rate that no pair changes its order: an equal accuracy is no better one.
    slow = ("train.best_metric=eval/accuracy", "train.optimizer.learning_rate=1e-6")
    printed = workplace.run("train", *arguments, *slow)
    reason = r"no better eval/accuracy in 2 evaluations \(train.early_stopping=2\)"
    assert re.search(rf"the training ends early: {reason}", printed) and "12 of 30" in printed, printed
    client = MlflowClient(tracking_uri=f"sqlite:///{workplace.folder}/mlflow.db")
    run = client.get_run(run_id_of(output))
    assert run.info.status == "FINISHED" and re.match(f"finished early: {reason}", run.data.tags["ended"])
    assert run.data.tags["steps"] == "12 of 30"
    assert run.data.tags[f"while_training.{SUITE}"] == "170 rows, 170 scored without their pictures"
    assert re.fullmatch(r"(\d+) of \1 held-out Comparisons", run.data.tags["while_training.heldout"])
    page = run.data.tags["mlflow.note.content"]
    assert "**Finished** · step 12 of 30" in page and "**Why it ended:** no better eval/accuracy" in page
    assert run.outputs.model_outputs[0].step == 12
    assert json.loads(Path(output, "attempts.json").read_text())[-1]["ended"].startswith("finished early")
    assert "nothing to do" in workplace.run("train", *arguments, *slow)
    places = (f"train.output={output}", f"evaluate.output={workplace.folder}/of_early")
    workplace.run("evaluate", *places, *suites, f"evaluate.suites=[{SUITE}]")
    report = json.loads((workplace.folder / "of_early/report.json").read_text())
    [suite] = json.loads((workplace.folder / "of_early/suites.json").read_text())["suites"]
    points = points_of(workplace, "early")
    assert dict(points["eval/accuracy"])[12] == pytest.approx(report["overall"]["accuracy"]["value"], abs=1e-5)
    assert dict(points["eval/log_loss"])[12] == pytest.approx(report["log_loss"], abs=1e-5)
    for name, number in suite["numbers"].items():
        assert dict(points[f"suite/{SUITE}/{name}"])[12] == pytest.approx(number["value"], abs=1e-5), name
    assert max(step for step, _ in points["eval/log_loss"]) == 13, "evaluate's own point comes behind the curve"
