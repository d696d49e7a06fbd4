"""Ctrl-C and SIGTERM, to the command and to its whole process group: one line, the exit code, what MLflow keeps."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from child_process import signal_group
from mlflow import MlflowClient
from training_runs import run_id_of, wait_for_checkpoint
from workplace import Workplace

pytestmark = pytest.mark.drill

SIGNALS = {
    "Ctrl-C": [signal.SIGINT],
    "Ctrl-C twice": [signal.SIGINT] * 2,
    "Ctrl-C three times": [signal.SIGINT] * 3,
    "SIGTERM": [signal.SIGTERM],
    "SIGTERM, then Ctrl-C": [signal.SIGTERM, signal.SIGINT],
}
LINES = {
    130: "basereward: stopped by Ctrl-C; the same command goes on from what is finished",
    143: "basereward: ended by SIGTERM; the same command goes on from what is finished",
}


def ended_by(process: subprocess.Popen[str], signals: list[signal.Signals]) -> str:
    """What a command printed that got these signals, as its whole group does from a terminal and from `timeout`."""
    for one in signals:
        signal_group(process, one)
        time.sleep(0.3)
        if process.poll() is not None:
            break
    printed, _ = process.communicate(timeout=60)
    code = 130 if signals[0] == signal.SIGINT else 143
    assert process.returncode == code, printed
    assert printed.splitlines()[-1] == LINES[code]
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize("signals", SIGNALS.values(), ids=SIGNALS)
def test_a_training_is_ended_by_signals_to_its_whole_group(workplace: Workplace, signals: list[signal.Signals]) -> None:
    output = workplace.folder / f"ended-{'-'.join(one.name for one in signals)}"
    process = workplace.start_in_group("train", f"train.output={output}", "train.max_steps=3000")
    wait_for_checkpoint(process, output)
    printed = ended_by(process, signals)
    ended = tags_of_killed(workplace, output)["ended"]
    assert ended.startswith("Ctrl-C: " if signals[0] == signal.SIGINT else "SIGTERM: ")
    if len(signals) == 1:
        said = re.search(r"stopped after step (\d+) of 3000, with a checkpoint", printed)
        assert said, printed
        assert (output / f"checkpoints/step-{int(said[1]):08d}/COMPLETE.json").exists()


def test_a_second_training_of_the_same_folder_is_told_who_is_there(workplace: Workplace) -> None:
    """Two drivers at once; the first one goes on to its end as if nothing had been."""
    output = workplace.folder / "twice"
    first = workplace.start_in_group("train", f"train.output={output}")
    wait_for_checkpoint(first, output)
    told = workplace.run("train", f"train.output={output}", code=2)
    assert f"process {first.pid}" in told and "Traceback" not in told
    printed, _ = first.communicate(timeout=400)
    assert first.returncode == 0, printed
    assert len(json.loads((output / "attempts.json").read_text())) == 1
    client = MlflowClient(tracking_uri=f"sqlite:///{workplace.folder}/mlflow.db")
    assert client.get_run(run_id_of(output)).info.status == "FINISHED"
    assert "nothing to do" in workplace.run("train", f"train.output={output}")


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_training_whose_cluster_dies_says_so_and_goes_on(workplace: Workplace, name: str) -> None:
    output = workplace.folder / f"without-{name}"
    process = workplace.start_in_group("train", f"train.output={output}")
    wait_for_checkpoint(process, output)
    children = psutil.Process(process.pid).children(recursive=True)
    [dying] = [one for one in children if one.name() == name]
    began_s = time.monotonic()
    dying.kill()
    printed, _ = process.communicate(timeout=60)
    assert time.monotonic() - began_s < 30
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    last = printed.splitlines()[-1]
    assert last.startswith("basereward: error: ") and name in last
    assert last.endswith("died; the same command goes on from what is finished")
    _, alive = psutil.wait_procs(children, timeout=60)  # Ray's agents look for their parent now and then
    assert not alive
    client = MlflowClient(tracking_uri=f"sqlite:///{workplace.folder}/mlflow.db")
    run = client.get_run(run_id_of(output))
    assert run.info.status == "FAILED" and name in run.data.tags["ended"]
    workplace.run("train", f"train.output={output}")
    assert client.get_run(run_id_of(output)).info.status == "FINISHED"


def tags_of_killed(workplace: Workplace, output: Path) -> dict[str, str]:
    """The tags of a training's run, which is killed."""
    run = MlflowClient(tracking_uri=f"sqlite:///{workplace.folder}/mlflow.db").get_run(run_id_of(output))
    assert run.info.status == "KILLED"
    return dict(run.data.tags)
