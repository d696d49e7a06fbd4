"""What a person sees: MLflow's pages of our runs in a real browser, and the command that opens them."""

import re
import sys
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from child_process import interrupt, start
from s3_server import free_ports
from workplace import ROOT

from data_pipeline.errors import MissingInput
from jobs.recipe.schema import Recipe, TrackingConfig
from jobs.tracking import ui
from jobs.tracking.metric_logger import MetricLogger
from jobs.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def browser() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs" / "images")
        taking = import_module("take_mlflow")
        if taking.chromium() is None:
            pytest.skip("no Chromium here: tests/services/install.sh installs it on Debian, as root")
        yield taking


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """One run on SQLite, as a training that was taken away leaves it."""
    folder = tmp_path_factory.mktemp("pages")
    one = Tracker(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"), run_dir=str(folder), run_name="sevenfold")
    one.log_dataset(name="captions-set", fingerprint="a" * 64, source="s", profile={}, context="training")
    one.write_page({"": "**Killed** · step 300 of 4,000", "Attempts": "| a |"}, {"cluster.gpus": "8 x H100"})
    with MetricLogger(one.uri, one.run_id) as logger:
        for step in range(1, 301):
            logger.log(step, {"train/loss": 1 / step, "system/node_10.0.0.7/cpu_percent": 50.0 + step % 7})
    one.finish("KILLED", "SIGTERM: a checkpoint was asked for")
    return one


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL))


def test_the_list_of_runs_and_a_runs_page_in_a_browser(browser: ModuleType, tracker: Tracker) -> None:
    config = TrackingConfig(uri=tracker.uri)
    with browser.served(config.uri) as address:
        experiment = ui.experiment_id(config)
        listed = words_of(browser.dom_of(ui.url_of(address, experiment)))
        run = words_of(browser.dom_of(f"{address}/#/experiments/{experiment}/runs/{tracker.run_id}"))
    for word in ("sevenfold", "captions-set", "1 matching run"):
        assert word in listed, listed[-3000:]
    wanted = [
        "sevenfold",
        "Killed · step 300 of 4,000",
        "captions-set",
        "8 x H100",
        "SIGTERM: a checkpoint was asked for",
    ]
    for word in [*wanted, "train/loss", "system/node_10.0.0.7/cpu_percent", "System metrics"]:
        assert word in run, run[-3000:]


def test_ui_serves_the_store_and_leaves_nothing_behind(
    tracker: Tracker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [port] = free_ports(1)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"tracking: {{uri: '{tracker.uri}', ui_port: {port}}}\n")
    command = [sys.executable, "-m", "jobs.cli.main", "ui", str(recipe)]
    process = start(command, cwd=ROOT)
    assert process.stdout is not None
    said = process.stdout.readline()
    assert f"Open http://127.0.0.1:{port}/#/experiments/" in said, said
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        assert answer.status == 200
    ui.run(Recipe(name="mine", tracking=TrackingConfig(uri=f"http://127.0.0.1:{port}")))  # a server's is only named
    assert f"Open http://127.0.0.1:{port}/#/experiments/1/runs" in capsys.readouterr().out
    children = psutil.Process(process.pid).children(recursive=True)
    interrupt(process)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert children and not any(child.is_running() for child in children)


def test_ui_without_a_store_makes_none(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="is not there: `basereward train` makes it"):
        ui.run(Recipe(name="mine", tracking=TrackingConfig(uri=f"sqlite:///{tmp_path}/none.db")))
    assert not (tmp_path / "none.db").exists()
