"""One writer a folder: the second is refused, and takes over when the first has died, wherever it ran."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture
from workplace import ROOT

from data_pipeline import storage
from data_pipeline.errors import UserError
from data_pipeline.storage.lease import Holder, Timing, held
from data_pipeline.storage.writing import create_only, delete_file
from data_pipeline.watcher import watching

QUICK = Timing(beat_s=0.05, dead_s=0.4)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that is not there yet, on a disk and in a bucket."""
    if request.param == "local":
        return str(tmp_path / "runs [1]" / "train")
    server: S3Server = request.getfixturevalue("s3_server")
    return f"s3://{server.bucket}/{tmp_path.name} [1]/train"


def files_in(place: str) -> list[str]:
    if place.startswith("s3://"):
        pattern = storage.join(storage.escaped(place), ".lease-*.json")
        return [storage.name_of(url) for url in storage.list_files(pattern)]
    return sorted(path.name for path in Path(place).iterdir())


def elsewhere(**changes: object) -> Holder:
    """A holder on another machine."""
    return replace(Holder.here("train"), **{"machine": "another", "host": "node-7", **changes})  # type: ignore[arg-type]


@contextmanager
def beating(url: str, holder: Holder) -> Iterator[None]:
    """In the block, the holder shows that it is there."""
    numbers = itertools.count(1)

    def beat() -> None:
        storage.write_atomic(url, replace(holder, beat=next(numbers)).to_bytes())

    with watching(beat, every_s=0.05, name="another holder"):
        yield


def test_a_second_writer_is_refused_and_told_who_is_there(place: str) -> None:
    with held(place, "train", timing=QUICK):
        with pytest.raises(UserError) as caught, held(place, "evaluate", timing=QUICK):
            raise AssertionError("two writers")
        assert f"{place} is in use by `basereward train` on " in str(caught.value)
        assert f"(process {os.getpid()}, since 20" in str(caught.value)
        with held(f"{place}-other", "train", timing=QUICK):
            pass
        assert files_in(place) == [".lease-1.json"]
        time.sleep(0.2)
        assert json.loads(storage.read_bytes(f"{place}/.lease-1.json"))["beat"] >= 1
    assert files_in(place) == [], "nothing is left"
    with held(place, "evaluate", timing=QUICK):
        pass


def test_of_many_at_once_one_gets_it(place: str) -> None:
    begun, tried = threading.Barrier(6), threading.Barrier(6)

    def try_it(_: int) -> bool:
        begun.wait(30)
        try:
            with held(place, "train", timing=QUICK):
                tried.wait(30)
                return True
        except UserError:
            tried.wait(30)
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(try_it, range(6))) == 1
    assert files_in(place) == []


def test_a_killed_holder_of_this_machine_is_followed_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from data_pipeline.storage import held\n"
        "with held(sys.argv[1], 'train'): print('in', flush=True); sys.stdin.read()"
    )
    place = str(tmp_path / "train")
    process = subprocess.Popen(
        [sys.executable, "-c", code, place], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    with pytest.raises(UserError, match=rf"process {process.pid}"), held(place, "train"):
        pass
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet collected: it still has a number
    with held(place, "train"):  # it would take a minute to give up one of another machine
        assert files_in(place) == [".lease-2.json"]
    process.communicate(timeout=10)
    assert files_in(place) == []


def test_a_process_with_the_number_of_a_dead_one_is_not_it(tmp_path: Path) -> None:
    holder = Holder.here("train")
    storage.write_atomic(f"{tmp_path}/.lease-7.json", replace(holder, began_s=holder.began_s - 3600).to_bytes())
    with held(str(tmp_path), "train"):
        assert files_in(str(tmp_path)) == [".lease-8.json"]


def test_a_holder_of_another_machine_is_there_while_its_file_changes(place: str) -> None:
    url = f"{place}/.lease-3.json"
    storage.write_atomic(url, elsewhere().to_bytes())
    refused = pytest.raises(UserError, match=r"`basereward train` on node-7 ")
    with beating(url, elsewhere()), refused, held(place, "train", timing=Timing(beat_s=0.2, dead_s=20)):
        pass


@pytest.mark.parametrize("left", ["whole", "", "{}", "no json", '{"pid": "x"}', "[1]"])
def test_a_silent_holder_of_another_machine_is_followed_after_a_while(tmp_path: Path, left: str) -> None:
    data = elsewhere().to_bytes() if left == "whole" else left.encode()
    storage.write_atomic(f"{tmp_path}/.lease-3.json", data)
    began = time.monotonic()
    with held(str(tmp_path), "train", timing=QUICK):
        assert time.monotonic() - began >= QUICK.dead_s
        assert files_in(str(tmp_path)) == [".lease-4.json"]


def test_who_waits_for_a_holder_elsewhere_gets_it_when_it_is_given_back(place: str) -> None:
    url = f"{place}/.lease-1.json"
    storage.write_atomic(url, elsewhere().to_bytes())
    giving = threading.Timer(0.2, delete_file, [url])
    giving.start()
    with held(place, "train", timing=Timing(beat_s=0.1, dead_s=60)):
        pass
    giving.join()


def test_who_was_taken_for_dead_is_told_and_leaves_the_other_alone(place: str) -> None:
    told: list[str] = []
    with held(place, "train", timing=QUICK, on_lost=told.append):
        storage.write_atomic(f"{place}/.lease-2.json", elsewhere().to_bytes())
        until = time.monotonic() + 10
        while not told and time.monotonic() < until:
            time.sleep(0.02)
        delete_file(f"{place}/.lease-1.json")
    assert told == [f"{place} was taken over by another process: this one has to end"]
    assert json.loads(storage.read_bytes(f"{place}/.lease-2.json"))["host"] == "node-7"


def test_a_process_that_lost_its_lease_is_ended(tmp_path: Path) -> None:
    """By SIGTERM, which commands turn into an orderly end."""
    code = (
        "import sys, time; from data_pipeline.storage.lease import *\n"
        "with held(sys.argv[1], 'train', timing=Timing(beat_s=0.05)): print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    storage.write_atomic(f"{tmp_path}/.lease-2.json", elsewhere().to_bytes())
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -15
    assert "was taken over by another process" in errors


def test_the_lease_of_a_file_lies_beside_it(tmp_path: Path) -> None:
    with held(f"{tmp_path}/scores.jsonl", "score", file=True):
        assert [path.name for path in tmp_path.iterdir()] == [".scores.jsonl.lease-1.json"]
        with pytest.raises(UserError, match="in use"), held(f"{tmp_path}/scores.jsonl", "score", file=True):
            pass
        with held(f"{tmp_path}/others.jsonl", "score", file=True):
            pass


def test_a_file_is_created_once(place: str) -> None:
    url = f"{place}/one.json"
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: create_only(url, str(number).encode() * 1000), range(8))) == 1
    first = storage.read_bytes(url)
    assert len(set(first)) == 1 and len(first) == 1000
    assert not create_only(url, b"other") and storage.read_bytes(url) == first
    delete_file(url)
    delete_file(url)
    assert create_only(url, b"other") and storage.read_bytes(url) == b"other"


def test_a_folder_in_a_bucket_is_emptied_around_the_lease_of_who_fills_it(s3_server: S3Server, tmp_path: Path) -> None:  # noqa: F811
    place = f"s3://{s3_server.bucket}/{tmp_path.name}/model"
    storage.write_atomic(f"{place}/model.json", b"{}")
    with held(place, "init-model", timing=QUICK):
        storage.delete_folder(place, first="model.json")
        assert files_in(place) == [".lease-1.json"]
        assert not storage.exists(f"{place}/model.json")


def test_a_holder_says_all_that_is_asked() -> None:
    here = Holder.here("train")
    assert not here.has_ended()
    assert json.loads(here.to_bytes()) == asdict(here)
    assert here.token != Holder.here("train").token
