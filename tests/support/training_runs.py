"""What drills compare: the points of a training's MLflow run, its checkpoints, its processes."""

import json
import subprocess
import time
from pathlib import Path

import psutil
from mlflow import MlflowClient

PATIENCE_S = 300
EXACT = ["verify/ids_hash", "train/loss", "train/accuracy", "train/margin", "train/grad_norm"]
EXACT += ["train/learning_rate", "train/reward_std"]
"""What repeats bit by bit on the same number of workers; the ids of the Comparisons on any number."""


def run_id_of(output: Path) -> str:
    """The MLflow run of a training."""
    run_id: str = json.loads((output / "job_state.json").read_text())["mlflow_run_id"]
    return run_id


def series_of(run_dir: Path, folder: str, uri: str | None = None) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every exact metric, in the order in which the store has them."""
    client = MlflowClient(tracking_uri=uri or f"sqlite:///{run_dir}/mlflow.db")
    run_id = run_id_of(run_dir / folder)
    return {name: [(point.step, point.value) for point in client.get_metric_history(run_id, name)] for name in EXACT}


def wait_for_checkpoint(process: subprocess.Popen[str], output: Path, step: int = 0) -> None:
    """Until there is one of `step` or later."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not [path for path in output.glob("checkpoints/step-*/COMPLETE.json") if int(path.parent.name[5:]) >= step]:
        assert process.poll() is None, process.communicate()[0]
        if time.monotonic() > deadline_s:
            process.terminate()
            raise AssertionError(f"no checkpoint came:\n{process.communicate(timeout=60)[0]}")
        time.sleep(0.02)


def training_workers(pid: int) -> list[psutil.Process]:
    """The processes of the group that a driver started on its own machine."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "RayTrainWorker" in " ".join(child.cmdline())]


def damage(checkpoint: Path) -> None:
    """One bit of one rank's values."""
    path = next(checkpoint.glob("rank-00000-*.safetensors"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a process printed; it must end with exit code `code`."""
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == code, printed
    return printed
