"""A fetch that is killed, or asked to end, in the middle of a file: the next one asks for the rest alone."""

import os
import signal
import sys
import time
from pathlib import Path
from random import Random

import pytest
from child_process import start
from data_hub import DataHub
from huggingface_hub import constants

from jobs.cli.main import main

ROOT = Path(__file__).parents[4]
DATA = Random(0).randbytes(2_000_000)
RECIPE = """
data_root: data
preprocess:
  sources: [{name: birds, path: birds/a.parquet, hub: {dataset: org/birds, folder: birds, files: [a.parquet]}}]
"""


@pytest.mark.drill
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_fetch_that_is_ended_goes_on(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    Path("mine.yaml").write_text(RECIPE)
    hub = DataHub({"org/birds": {"a.parquet": DATA}})
    hub.faults = {"a.parquet": ["stall:1234567"]}
    with hub.serving() as address:
        command = ["fetch", "mine.yaml", f"fetch.address={address}"]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0"}
        process = start([sys.executable, "-m", "jobs", *command], env=env)
        try:
            deadline_s = time.monotonic() + 120
            while not any(path.stat().st_size == 1234567 for path in Path("data/.fetch").glob("*")):
                assert time.monotonic() < deadline_s and process.poll() is None
                time.sleep(0.05)
            process.send_signal(number)
            assert process.wait(30) == code, process.communicate()[0]
        finally:
            process.kill()
            process.communicate()
        assert not Path("data/birds").exists()
        assert main(command) == 0
    assert Path("data/birds/a.parquet").read_bytes() == DATA
    assert [(one.start, one.count) for one in hub.sent] == [(0, 1234567), (1234567, len(DATA) - 1234567)]
