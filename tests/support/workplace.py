"""A folder in which tests run the real command line as a user would, in processes of their own."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import child_process
import psutil
import yaml
from mlflow import MlflowClient

from data_pipeline.synthetic import write_synthetic

ROOT = Path(__file__).parents[2]
NUM_STEPS = 30


class Workplace:
    """A folder with raw data, shards, a model, and a recipe that trains for `NUM_STEPS` steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        synthetic = write_synthetic(str(folder / "raw"), num_comparisons=120, seed=1)
        sources = [{"name": s.name, "shape": s.shape, "path": s.path} for s in synthetic.sources]
        recipe = {
            "run_dir": str(folder),
            "data_root": str(folder / "raw"),
            "init_model": {"vocab_size": 400},
            "preprocess": {"rows_per_unit": 16, "sources": sources, "split": {"heldout_fraction": 0.2}},
            "train": {
                "precision": "fp32",
                "global_batch": 8,
                "token_budget": 600,
                "max_steps": NUM_STEPS,
                "checkpoint_every": 10,
                "log_every": 1,
                "optimizer": {"learning_rate": 1e-3},
            },
        }
        self.recipe = folder / "recipe.yaml"
        self.recipe.write_text(yaml.safe_dump(recipe), encoding="utf8")

    def command(self, name: str, *overrides: str) -> list[str]:
        return [sys.executable, "-m", "jobs.cli.main", name, str(self.recipe), *overrides]

    def start(self, name: str, *overrides: str) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        return subprocess.Popen(
            self.command(name, *overrides), cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def start_in_group(self, name: str, *overrides: str) -> subprocess.Popen[str]:
        """The command in a process group of its own, as a shell starts it; Ctrl-C comes through."""
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        return child_process.start(self.command(name, *overrides), cwd=self.folder, env=env, own_group=True)

    def run_words(self, *words: str) -> str:
        """What a command printed that is given word by word, such as one that a page shows; it has to succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli.main", *words], cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shown_commands(self, output: Path, uri: str | None = None) -> list[list[str]]:
        """The commands of "How to go on" on the page of the training in `output`, as a shell reads them."""
        run_id = json.loads((output / "job_state.json").read_text())["mlflow_run_id"]
        client = MlflowClient(tracking_uri=uri or f"sqlite:///{self.folder}/mlflow.db")
        page = client.get_run(run_id).data.tags["mlflow.note.content"].partition("## How to go on")[2]
        return [shlex.split(one) for one in re.findall(r"`basereward ([^`]*)`", page)]

    def run(self, name: str, *overrides: str, code: int = 0) -> str:
        """What the command printed; it must end with exit code `code`."""
        process = self.start(name, *overrides)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == code, output
        return output


def kill_tree(pid: int) -> None:
    """SIGKILL for a process we started and for all that it started."""
    tree = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    for process in tree:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(tree, timeout=20)
