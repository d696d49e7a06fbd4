"""Preprocessing as a Ray job, on one cluster of this process: the same bytes however it runs, and clear failures."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from picture_pairs import ROWS_PER_UNIT, PicturePairs, mtimes_of, outputs_of

from data_pipeline.dataset.layout import log_url
from data_pipeline.errors import MissingInput, RunError
from data_pipeline.pipeline import Plan, plan_units
from data_pipeline.transform.failures import failures
from jobs.preprocess import preprocess, ray_workers
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import open_cluster

NUM_UNITS = 5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> PicturePairs:
    return PicturePairs(tmp_path_factory.mktemp("pairs"), NUM_UNITS, side=300)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with open_cluster(ClusterConfig(num_cpus=4)):
        yield


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_writes_the_same_bytes(
    place: PicturePairs, tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "shards"
    preprocess.run(place.load(f"preprocess.output={output}", f"preprocess.workers={workers}"))
    printed = capsys.readouterr().out
    assert f"preprocess work units: {NUM_UNITS} of {NUM_UNITS}" in printed
    assert f"{NUM_UNITS} work units made by" in printed and "largest worker" in printed
    assert outputs_of(output) == place.undisturbed()


def test_inputs_scanned_on_the_cluster_give_the_same_plan(
    place: PicturePairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray_workers, "SCAN_HERE_BYTES", 0)
    preprocess.run(place.load(f"preprocess.output={tmp_path / 'shards'}"))
    assert "scan input files: 1 of 1" in capsys.readouterr().out
    assert outputs_of(tmp_path / "shards") == place.undisturbed()


def test_a_finished_output_is_left_alone_and_another_rule_only_filters(
    place: PicturePairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "shards"
    place.undisturbed()
    shutil.copytree(place.folder / "undisturbed", output)
    preprocess.run(place.load(f"preprocess.output={output}"))  # the page of data that a library call prepared
    before = mtimes_of(output, "**/*")
    preprocess.run(place.load(f"preprocess.output={output}"))
    assert "nothing to do" in capsys.readouterr().out
    assert mtimes_of(output, "**/*") == before
    (output / "data.html").unlink()  # as after a kill behind the manifest
    left = output / "shards/.x.arrow.0123456789ab-1-0123456789ab.draft"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    preprocess.run(place.load(f"preprocess.output={output}"))
    printed = capsys.readouterr().out
    assert "nothing to do" in printed and f"page of the data: {output}/data.html" in printed
    assert (output / "data.html").exists() and not left.exists()
    preprocess.run(place.load(f"preprocess.output={output}", "preprocess.rules.min_response_chars=1000"))
    printed = capsys.readouterr().out
    assert f"filters only: {NUM_UNITS} units reused" in printed
    assert f"{NUM_UNITS * ROWS_PER_UNIT} │" in printed, "every record is refused, and the table says so"
    assert mtimes_of(output, "shards/*") == {name: at for name, at in before.items() if name.startswith("shards/")}
    assert len(list(output.glob("manifests/*.json"))) == 2


def test_logs_say_where_and_how_each_unit_was_done(place: PicturePairs, tmp_path: Path) -> None:
    config = place.config(f"preprocess.output={tmp_path / 'shards'}")
    preprocess.run(place.load(f"preprocess.output={config.output}"))
    for unit in plan_units(config):
        log = Path(log_url(unit.address, config.output)).read_text()
        facts = dict(line.split(maxsplit=1) for line in log.splitlines())
        assert facts["input"] == f"pairs.jsonl rows {unit.start} to {unit.start + ROWS_PER_UNIT - 1}"
        assert facts["seen"] == facts["kept"] == str(ROWS_PER_UNIT)
        assert facts["started"] < facts["ended"]
        assert 30 < float(facts["peak"].split()[0]) < 4000


def test_a_unit_that_keeps_failing_is_put_aside_and_tried_again_by_the_next_run(
    place: PicturePairs, tmp_path: Path
) -> None:
    output = tmp_path / "shards"
    config = place.config(f"preprocess.output={output}")
    units = plan_units(config)
    in_the_way = output / "shards" / f"{units[2].address}-0.arrow"
    in_the_way.mkdir(parents=True)  # the shard cannot take its name
    with pytest.raises(RunError) as caught:
        preprocess.run(place.load(f"preprocess.output={output}"))
    message = str(caught.value)
    assert f"1 of {NUM_UNITS} work units failed" in message
    assert "pairs.jsonl rows 24 to 35: IsADirectoryError" in message
    assert str(output / "failed" / f"{units[2].address}.json") in message
    [failure] = failures(config, units)
    assert failure.attempts == 2, "once, and unit_retries=1 times again"
    assert "write_atomic" in failure.traceback
    assert "failed" in Path(log_url(units[2].address, config.output)).read_text()
    done = mtimes_of(output, "units/*.json")
    assert len(done) == NUM_UNITS - 1
    in_the_way.rmdir()
    preprocess.run(place.load(f"preprocess.output={output}"))
    assert outputs_of(output) == place.undisturbed()
    assert mtimes_of(output, "units/*.json").items() > done.items()
    assert failures(config, units) == []


def test_an_input_that_is_deleted_or_changed_after_the_plan_is_named(place: PicturePairs, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(place.records.parent, raw)
    config = place.config(f"preprocess.output={tmp_path / 'shards'}", f"data_root={raw}")
    units = plan_units(config)
    with open(raw / "pairs.jsonl", "a", encoding="utf8") as file:
        file.write('{"prompt": "One more"}\n')
    plan = Plan(units=units, done={}, missing=units)
    workers = ray_workers.RayWorkers(ClusterConfig())
    failures_of_units = [outcome.failure or "" for outcome in workers.run(plan, config)]
    assert len(failures_of_units) == NUM_UNITS
    assert all("has changed since the plan was made" in failure for failure in failures_of_units)
    (raw / "pairs.jsonl").unlink()
    with pytest.raises(MissingInput, match=r"raw/pairs\.jsonl"):
        list(workers.run(plan, config))
