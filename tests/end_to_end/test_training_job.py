"""Training as a Ray job: one MLflow run, a killed worker changes nothing, and the export is used from the folder."""

import json
import os
import re
import signal

import pytest
from mlflow import MlflowClient
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture
from suite_toys import write_suite
from training_runs import damage, series_of, training_workers, wait_for_checkpoint
from workplace import NUM_STEPS, Workplace, kill_tree

from data_pipeline import storage
from rm_core.evaluation.metrics import evaluate
from rm_core.scoring.scored_file import read_scored


@pytest.fixture(scope="module")
def trained(workplace: Workplace) -> Workplace:
    """The uninterrupted training."""
    workplace.run("train")
    return workplace


def test_every_step_is_logged_once_and_the_run_says_what_it_was(trained: Workplace) -> None:
    series = series_of(trained.folder, "train")
    assert [step for step, _ in series["train/loss"]] == list(range(1, NUM_STEPS + 1))
    client = MlflowClient(tracking_uri=f"sqlite:///{trained.folder}/mlflow.db")
    run_id = json.loads((trained.folder / "train/job_state.json").read_text())["mlflow_run_id"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.zero.stage"] == "2"
    assert run.data.tags["recipe"] == "recipe"
    assert run.inputs.dataset_inputs[0].dataset.name == "recipe"
    assert json.loads(run.inputs.dataset_inputs[0].dataset.profile)["epoch"]
    assert [entry.path for entry in client.list_artifacts(run_id, "data")] == ["data/data.html", "data/manifest.json"]
    assert run.outputs.model_outputs
    assert {name.split("/")[0] for name in run.data.metrics} == {"health", "system", "train", "verify", "wall"}


@pytest.mark.drill
def test_a_killed_worker_changes_neither_losses_nor_weights(trained: Workplace) -> None:
    output = trained.folder / "killed"
    process = trained.start("train", f"train.output={output}")
    wait_for_checkpoint(process, output)
    victims = training_workers(process.pid)
    assert len(victims) == 2
    os.kill(victims[1].pid, signal.SIGKILL)
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed
    assert "restarted 1x" in printed
    assert series_of(trained.folder, "killed") == series_of(trained.folder, "train")
    for name in ("model.safetensors", "reward_head.safetensors"):
        assert (output / "export" / name).read_bytes() == (trained.folder / "train/export" / name).read_bytes()


@pytest.mark.drill
@pytest.mark.parametrize("how", ["kill -9", "SIGTERM"])
def test_an_ended_driver_goes_on_in_the_same_run_by_the_same_command(trained: Workplace, how: str) -> None:
    output = trained.folder / how.replace(" ", "")
    process = trained.start("train", f"train.output={output}")
    wait_for_checkpoint(process, output)
    if how == "SIGTERM":
        process.terminate()
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 143, printed
        said = re.search(r"stopped after step (\d+) of 30, with a checkpoint", printed)
        assert said, printed
        assert (output / f"checkpoints/step-{int(said[1]):08d}/COMPLETE.json").exists()
    else:
        kill_tree(process.pid)
        process.communicate(timeout=30)
    client = MlflowClient(tracking_uri=f"sqlite:///{trained.folder}/mlflow.db")
    run_id = json.loads((output / "job_state.json").read_text())["mlflow_run_id"]
    assert client.get_run(run_id).info.status == ("KILLED" if how == "SIGTERM" else "RUNNING")
    [shown] = trained.shown_commands(output)
    assert shown[0] == ("train" if how == "SIGTERM" else "runs")
    trained.run_words("train", *shown[1:])
    assert json.loads((output / "job_state.json").read_text())["mlflow_run_id"] == run_id
    assert client.get_run(run_id).info.status == "FINISHED"
    assert series_of(trained.folder, output.name) == series_of(trained.folder, "train")


@pytest.mark.drill
def test_one_worker_and_then_three_go_on_where_two_were_ended(trained: Workplace) -> None:
    """2 -> 1 -> 3 workers; on the way the newest checkpoint is damaged, and the one before is taken."""
    output = trained.folder / "sizes"
    arguments = (f"train.output={output}", "train.checkpoint_every=4", "train.keep_checkpoints=3", "cluster.num_cpus=3")
    for workers, steps in ((2, 4), (1, 12)):
        process = trained.start("train", *arguments, f"train.num_workers={workers}")
        wait_for_checkpoint(process, output, steps)
        kill_tree(process.pid)
        process.communicate(timeout=30)
    newest = sorted(output.glob("checkpoints/step-*/COMPLETE.json"))[-1].parent
    damage(newest)
    printed = trained.run("train", *arguments, "train.num_workers=3")
    assert f"the checkpoint of step {int(newest.name[5:])} is passed over" in printed, printed
    assert "holds other bytes than were written" in printed
    whole = series_of(trained.folder, "train")
    for name, points in series_of(trained.folder, "sizes").items():
        assert [step for step, _ in points] == [step for step, _ in whole[name]], name
        assert [value for _, value in points] == pytest.approx([value for _, value in whole[name]], rel=2e-3), name


@pytest.mark.drill
def test_an_object_store_holds_checkpoints_and_the_model(trained: Workplace, s3_server: S3Server) -> None:  # noqa: F811
    """As on a cluster whose nodes share no disk."""
    output = f"s3://{s3_server.bucket}/training"
    arguments = (f"train.output={output}", f"evaluate.output={trained.folder}/of_s3")
    trained.run("train", *arguments)
    for name in ("model.safetensors", "reward_head.safetensors"):
        whole = (trained.folder / "train/export" / name).read_bytes()
        assert storage.read_bytes(f"{output}/export/{name}") == whole
    # By their objects: this server goes on to list a folder whose objects are gone.
    kept = {file.split("/")[-2] for file in storage.list_files(f"{output}/checkpoints/step-*/*")}
    assert kept == {"step-00000020", "step-00000030"}
    trained.run("evaluate", *arguments)
    assert json.loads((trained.folder / "of_s3/report.json").read_text())["num_comparisons"] > 0
    assert "nothing to do" in trained.run("train", *arguments)


@pytest.mark.drill
def test_a_finished_training_does_nothing_and_another_one_is_refused(trained: Workplace) -> None:
    assert "nothing to do" in trained.run("train")
    refused = trained.run("train", "train.optimizer.learning_rate=0.5", code=2)
    assert "optimizer.learning_rate was 0.001, now 0.5" in refused


@pytest.mark.drill
def test_benchmarks_stand_on_the_page_and_in_the_run_of_the_split(trained: Workplace) -> None:
    write_suite(trained.folder / "suites", "mm_rlhf_rewardbench")
    suites = ("evaluate.suites=[mm_rlhf_rewardbench]", f"evaluate.suite_root={trained.folder}/suites")
    trained.run("evaluate", *suites, "evaluate.missing_pictures=without")
    [suite] = json.loads((trained.folder / "evaluate/suites.json").read_text())["suites"]
    assert (suite["num_items"], suite["without_pictures"], suite["not_scored"]) == (170, 170, {})
    run_id = json.loads((trained.folder / "train/job_state.json").read_text())["mlflow_run_id"]
    metrics = MlflowClient(tracking_uri=f"sqlite:///{trained.folder}/mlflow.db").get_run(run_id).data.metrics
    assert metrics["suite/mm_rlhf_rewardbench/acc_plus"] == suite["numbers"]["acc_plus"]["value"]
    page = (trained.folder / "evaluate/report.html").read_text()
    assert "170 of 170 rows were scored without their pictures" in page and "Accuracy by source" in page


def test_evaluate_and_score_as_the_runs_page_says(trained: Workplace) -> None:
    """Both commands are those of the page, as written."""
    to_evaluate, to_score = trained.shown_commands(trained.folder / "train")
    assert (to_evaluate[0], to_score[0]) == ("evaluate", "score")
    trained.run_words(*to_evaluate)
    report = json.loads((trained.folder / "evaluate/report.json").read_text())
    assert report["num_comparisons"] == report["blank_images"]["real"]["num_comparisons"] + report["by_modality"][
        "text"
    ]["accuracy"]["num_comparisons"] + report["num_unordered"]  # fmt: skip
    client = MlflowClient(tracking_uri=f"sqlite:///{trained.folder}/mlflow.db")
    run_id = json.loads((trained.folder / "train/job_state.json").read_text())["mlflow_run_id"]
    assert client.get_run(run_id).data.metrics["eval/accuracy"] == report["overall"]["accuracy"]["value"]
    again = evaluate(read_scored(f"{trained.folder}/evaluate/scored.parquet")).to_json()
    assert json.loads(json.dumps(again)).items() <= report.items()
    assert 1 < report["num_groups"] <= report["num_comparisons"]
    assert "evaluation/scored.parquet" in [entry.path for entry in client.list_artifacts(run_id, "evaluation")]
    source = trained.folder / "raw/captions/captions.jsonl"
    trained.run_words(*(word.replace("FILE", str(source)) for word in to_score))
    lines = [json.loads(line) for line in (trained.folder / "scores.jsonl").read_text().splitlines()]
    assert len(lines) == len(source.read_text().splitlines())
    scored = [line for line in lines if line["rewards"] is not None]
    assert all(len(line["rewards"]) == len(line["responses"]) for line in scored)
    assert [line["error"].split(":")[0] for line in lines if line["rewards"] is None] == ["malformed_record"]
    written = (trained.folder / "scores.jsonl").read_bytes()
    assert "finished already" in trained.run("score", f"score.input={source}")
    assert (trained.folder / "scores.jsonl").read_bytes() == written


@pytest.mark.drill
def test_a_recipe_the_cluster_cannot_place_is_refused(trained: Workplace) -> None:
    printed = trained.run(
        "train", f"train.output={trained.folder}/wide", "train.num_workers=3", "cluster.num_cpus=2", code=2
    )
    assert "the cluster has 2" in printed
