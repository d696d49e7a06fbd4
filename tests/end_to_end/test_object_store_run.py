"""Every command with its `run_dir` in a real object store, long ones killed once; only MLflow and caches stay here."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture
from s3fs import S3FileSystem
from workplace import ROOT, Workplace, kill_tree

from data_pipeline import storage

pytestmark = [pytest.mark.drill, pytest.mark.timeout(2400)]  # some twenty starts of Ray, one after the other

PATIENCE_S = 600
RATE = "train.optimizer.learning_rate"


class RemoteRun:
    """A recipe whose `run_dir` is in the store, run from an empty folder."""

    def __init__(self, folder: Path, server: S3Server, temporary: str) -> None:
        self.folder = folder
        self.temporary = temporary
        self.url = f"s3://{server.bucket}/whole-run"
        self.uri = f"sqlite:///{folder}/mlflow/mlflow.db"
        self.recipe = folder / "remote.yaml"
        base = Workplace(folder / "inputs")
        settings: dict[str, Any] = yaml.safe_load(base.recipe.read_text())
        settings |= {"name": "remote", "run_dir": self.url, "tracking": {"uri": self.uri}}
        settings["train"] |= {"max_steps": 6, "checkpoint_every": 2, "num_workers": 1}
        settings["cluster"] = {"num_cpus": 2}
        settings["sweep"] = {"parameters": {RATE: [1e-3, 1e-4]}, "seeds": [0]}
        settings["ensemble"] = {
            "members": [{"name": "first", "model": "models:/first/1"}], "register_as": "remote", "split": "train",
            "sample": 30, "gate": {"min_comparisons": 10, "min_group_comparisons": 5},
        }  # fmt: skip
        self.settings = settings
        self.write()
        (folder / "here").mkdir()

    def write(self) -> None:
        self.recipe.write_text(yaml.safe_dump(self.settings), encoding="utf8")

    def files(self) -> list[str]:
        """Keys below `run_dir`."""
        S3FileSystem.clear_instance_cache()
        system = S3FileSystem(use_listings_cache=False)
        return [name.split("whole-run/", 1)[1] for name in system.find(self.url.removeprefix("s3://"))]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.cli.main", *words], cwd=self.folder / "here",
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": self.temporary},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *words: str) -> str:
        process = self.start(*words)
        printed, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, f"{words}:\n{printed}"
        return printed

    def killed_then_run(self, *words: str, when: Callable[[list[str]], bool]) -> str:
        """Kill the command, and all that it started, as soon as the store holds what `when` says; then run it again."""
        process = self.start(*words)
        deadline_s = time.monotonic() + PATIENCE_S
        while process.poll() is None and not when(self.files()):
            if time.monotonic() > deadline_s:
                kill_tree(process.pid)
                raise AssertionError(f"{words}: nothing came\n{process.communicate()[0]}")
            time.sleep(0.3)
        assert process.poll() is None, f"{words} ended before it was killed:\n{process.communicate()[0]}"
        kill_tree(process.pid)
        process.communicate(timeout=30)
        return self.run(*words)


def test_a_whole_run_in_an_object_store(tmp_path: Path, s3_server: S3Server) -> None:  # noqa: F811
    with tempfile.TemporaryDirectory(prefix="br-", dir="/tmp") as temporary:  # its path goes into those of sockets
        whole_run(RemoteRun(tmp_path, s3_server, temporary))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "inputs", "mlflow", "remote.yaml"]
    assert list((tmp_path / "here").iterdir()) == [], "nothing is written beside the command"


def whole_run(remote: RemoteRun) -> None:
    recipe = str(remote.recipe)

    def has(end: str, *, below: str = "") -> Callable[[list[str]], bool]:
        return lambda files: any(file.startswith(below) and file.endswith(end) for file in files)

    remote.run("init-model", recipe)
    remote.killed_then_run("preprocess", recipe, when=lambda files: any("units/" in file for file in files))
    remote.killed_then_run("train", recipe, when=has("COMPLETE.json", below="train/checkpoints/"))
    remote.killed_then_run("evaluate", recipe, when=has("scored.parquet", below="evaluate/"))
    score_input = f"score.input={remote.folder}/inputs/raw/captions/captions.jsonl"
    remote.run("score", recipe, score_input)
    remote.killed_then_run("sweep", recipe, when=has("COMPLETE.json", below="sweep/trials/"))
    remote.run("models", "register", f"{remote.url}/train/export", "first", f"tracking.uri={remote.uri}")
    [trial, *_] = sorted({file.split("/")[2] for file in remote.files() if file.startswith("sweep/trials/")})
    members = remote.settings["ensemble"]["members"]
    members.append({"name": "second", "model": f"{remote.url}/sweep/trials/{trial}/train/export"})
    remote.write()
    remote.killed_then_run("ensemble", recipe, when=has(".parquet", below="ensemble/members/"))
    assert "nothing to do" in remote.run("ensemble", recipe)
    average = ("ensemble.rule=average", f"ensemble.output={remote.url}/average")
    remote.run("ensemble", recipe, *average)
    assert "is the champion" in remote.run("promote", recipe)
    evaluations = (f"{remote.url}/evaluate", f"{remote.url}/sweep/trials/{trial}/evaluate")
    remote.run("compare", *evaluations, f"output={remote.url}/compare.html")
    remote.run("data", "verify", f"{remote.url}/shards")
    remote.run("plan", recipe)
    assert "remote" in remote.run("runs", recipe)

    found = remote.files()
    for name in (
        "model/model.json", "train/export/model.json", "evaluate/report.html", "scores.jsonl",
        "sweep/report/index.html",
        "ensemble/ensemble.html", "ensemble/model/ensemble.json", "average/average/model.json", "compare.html",
    ):  # fmt: skip
        assert name in found, name
    assert storage.read_bytes(f"{remote.url}/scores.jsonl").count(b"\n") > 10
    client = MlflowClient(tracking_uri=remote.uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert {run.info.status for run in runs} == {"FINISHED"}, [(run.info.run_name, run.info.status) for run in runs]
    [training] = [run for run in runs if "eval/accuracy" in run.data.metrics and run.info.run_name == "remote"]
    names = {entry.path for entry in client.list_artifacts(training.info.run_id, "evaluation")}
    assert names == {"evaluation/report.json", "evaluation/report.html", "evaluation/scored.parquet"}
