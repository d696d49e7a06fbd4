"""Submissions without a cluster: what is packed, sealed, refused and remembered, and how an end is read."""

import json
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture
from workplace import ROOT

from cluster.auth import Token, find_token
from cluster.errors import Refused
from cluster.package import pack
from cluster.submission.job import Submission, new_id, next_attempt, read_record, runtime_env, write_record
from cluster.submission.job_entry import PINS_ENV, differing_pins, pins_of
from cluster.submission.jobs_api import JobsApi, JobState, api_url
from cluster.submission.sealing import SEALED_ENV, open_here, open_sealed, seal
from cluster.submission.waiting import Ending, how_it_ended
from jobs.cli.main import main

TOKEN = Token("a" * 64, "a test")


def one(**changed: object) -> Submission:
    made = {
        "id": new_id("train", ["x"]),
        "words": ("jobs.cli.main", "train"),
        "package": "s3://bucket/code.zip",
        **changed,
    }
    return Submission(**made)  # type: ignore[arg-type]


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
@settings(max_examples=20)
def test_sealed_variables_are_opened_by_the_same_token_only(values: dict[str, str]) -> None:
    text = seal(values, TOKEN)
    assert open_sealed(text, TOKEN) == values
    assert text != seal(values, TOKEN)  # a salt of its own each time
    with pytest.raises(Refused, match="sealed with another token than a test holds"):
        open_sealed(text, Token("b" * 64, "a test"))


@pytest.mark.parametrize("text", ["", "x", "x.y", "AAAA.BBBB"])
def test_damaged_sealing_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        open_sealed(text, TOKEN)


def test_a_value_stands_nowhere_in_what_is_sent_or_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MY_PASSWORD", "never-shown")
    submission = one(env=("MY_PASSWORD",))
    sent = json.dumps([runtime_env(submission, TOKEN), submission.shown(), submission.entrypoint()])
    assert "never-shown" not in sent and "MY_PASSWORD" in sent and SEALED_ENV in sent
    kept = write_record(submission, "http://head:8265").read_text()
    assert "never-shown" not in kept and "MY_PASSWORD" in kept
    assert "aaaa" not in repr(TOKEN)
    with pytest.raises(Refused, match="there is none"):
        runtime_env(submission, None)
    with pytest.raises(Refused, match="--env OTHER: no such variable"):
        runtime_env(one(env=("OTHER",)), TOKEN)


def test_a_process_opens_what_was_sealed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN.text)
    monkeypatch.setenv(SEALED_ENV, seal({"OPENED_HERE": "yes"}, TOKEN))
    monkeypatch.setenv("OPENED_HERE", "no")
    open_here()
    assert os.environ["OPENED_HERE"] == "yes"


def test_the_token_is_looked_for_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("from the home\n")
    (tmp_path / "named").write_text("from a path\n")
    assert find_token() == Token("from the home", str(tmp_path / ".ray" / "auth_token"))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert find_token() == Token("from a path", str(tmp_path / "named"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from the environment")
    assert find_token() == Token("from the environment", "RAY_AUTH_TOKEN")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nothing"))
    with pytest.raises(Refused, match="RAY_AUTH_TOKEN_PATH"):
        find_token()


def test_the_package_is_the_same_bytes_and_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "a_package_of_this_test"
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "data.yaml", ".hidden", "__pycache__/x.pyc"):
        (folder / name).write_text("1")
    (folder / "link.py").symlink_to("/etc/hostname")
    first = pack([folder.name], {"recipe.yaml": "a: 1\n"}, tmp_path / "store")
    os.utime(folder / "data.yaml", (1, 1))
    assert pack([folder.name], {"recipe.yaml": "a: 1\n"}, tmp_path / "store") == first
    assert first.file.name == f"{first.sha256}.zip" and first.left_out == {"hidden": 1, "compiled": 1, "links": 1}
    with zipfile.ZipFile(first.file) as archive:
        assert archive.namelist() == [f"{folder.name}/__init__.py", f"{folder.name}/data.yaml", "recipe.yaml"]
    (folder / "large.bin").write_bytes(os.urandom(20_000))
    with pytest.raises(Refused, match=r"large.bin \(0.0 MB\).*--package s3://"):
        pack([folder.name], {}, tmp_path / "store", limit_bytes=10_000)
    assert [path.name for path in (tmp_path / "store").iterdir()] == [first.file.name]


def test_a_record_is_read_back_and_sent_again_under_another_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    submission = one(env=("A",), pins={"ray": "2.60.0"}, resources={"driver": 1.0})
    write_record(submission, "http://head:8265")
    assert read_record(submission.id) == (submission, "http://head:8265")
    again = next_attempt(submission)
    assert again.id != submission.id and again.id.rsplit("-", 1)[0] == submission.id.rsplit("-", 1)[0]
    assert (again.attempt, again.first, next_attempt(again).first) == (2, submission.id, submission.id)
    with pytest.raises(Refused, match="was not submitted from here"):
        read_record("../other")
    gone = one(package=str(tmp_path / "gone.zip"))
    write_record(gone, "http://head:8265")
    with pytest.raises(Refused, match="is gone"):
        read_record(gone.id)


def test_old_records_and_their_code_are_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cluster.submission import job as submission

    monkeypatch.setattr(submission, "KEPT_RECORDS", 2)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    packages = tmp_path / "basereward" / "packages"
    packages.mkdir(parents=True)
    made = []
    for number in range(4):
        (packages / f"{number}.zip").write_text("")
        os.utime(packages / f"{number}.zip", (number, number))
        made.append(write_record(one(package=str(packages / f"{number}.zip")), "http://head:8265"))
        os.utime(made[-1], (number, number))
    assert [path.exists() for path in made] == [False, False, True, True]
    assert sorted(path.name for path in packages.iterdir()) == ["2.zip", "3.zip"]


def ended(status: str, code: int | None = None, error: str | None = None) -> JobState:
    return JobState(
        id="x", status=status, exit_code=code, error_type=error, message="", started_s=0, ended_s=1, metadata={},
        entrypoint="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "ending", "code"),
    [
        (ended("SUCCEEDED", 0), Ending.DONE, 0),
        (ended("FAILED", 1), Ending.FAILED, 1),
        (ended("FAILED", 2), Ending.FAILED, 2),
        (ended("STOPPED"), Ending.STOPPED, 143),
        (ended("FAILED", 143), Ending.INTERRUPTED, 143),
        (ended("FAILED", -15), Ending.INTERRUPTED, 143),
        (ended("FAILED", -9), Ending.INTERRUPTED, 137),
        (ended("FAILED", 75), Ending.INTERRUPTED, 75),
        (ended("FAILED", None, "JOB_SUPERVISOR_ACTOR_DIED"), Ending.INTERRUPTED, 1),
        (ended("FAILED", None, "RUNTIME_ENV_SETUP_FAILURE"), Ending.FAILED, 1),
        (None, Ending.INTERRUPTED, 1),
    ],
)
def test_how_a_job_ended(state: JobState | None, ending: Ending, code: int) -> None:
    found = how_it_ended(state)
    assert (found.ending, found.code) == (ending, code)


def test_pins_name_what_differs() -> None:
    here = pins_of(("ray", "no-such-package"))
    assert set(here) == {"python", "ray"} and differing_pins(here) == []
    assert differing_pins({"ray": "1.0"}) == [f"ray {here['ray']}, not 1.0"]
    assert differing_pins({"no-such-package": "1"}) == ["no-such-package is missing, not 1"]


def test_another_version_ends_the_job_with_2(tmp_path: Path) -> None:
    import subprocess

    env = {**os.environ, PINS_ENV: json.dumps({"ray": "1.0"})}
    command = [sys.executable, "-m", "cluster.submission.job_entry", "this"]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "submit with --unpinned" in done.stderr


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", "is no address of a Jobs API"),
        ("head:6379", "6379 is the port of Ray's nodes"),
        ("http://me:word@head:8265", "holds a password"),
        ("head:port", "address"),
    ],
)
def test_addresses_that_are_none(address: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as caught:
        api_url(address)
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "submit needs a command with a recipe, got none"),
        (["data"], "got 'data'"),
        (["train"], "submit train needs a recipe"),
        (["train", "demo"], "run_dir=runs/demo starts from a folder of this machine"),
        (["preprocess", "mllm_bench", "run_dir=/shared/x"], "data_root=. starts from"),
        (
            ["train", "demo", "run_dir=/shared/x", "tracking.uri=https://me:word@mlflow"],
            "tracking.uri=https://***@mlflow' holds a password",
        ),
        (
            ["train", "demo", "run_dir=/shared/x", "data_root=https://h/x?X-Amz-Signature=abc"],
            "data_root=https://h/x?X-Amz-Signature=***' holds a password",
        ),
        (["train", "demo", "run_dir=s3://b/x"], "is no file that SQLite can open"),
        (["train", "demo", "run_dir=/shared/x", "train.precision=bf16", "train.zero.stage=0"], "train.precision=bf16"),
        (["train", "demo", "run_dir=/shared/x", "train.precision=fp16"], "train.precision"),
        (["train", "demo", "run_dir=/shared/x", "train.model=models/mine"], "train.model=models/mine starts from"),
        (["train", "demo", "run_dir=/shared/x", "train.data=../shards"], "train.data=../shards starts from"),
        (["train", "demo", "run_dir=/shared/x", "tracking.uri=./mlruns"], "tracking.uri=./mlruns has no http://"),
        (["score", "demo", "run_dir=/shared/x", "score.input=mine.jsonl"], "score.input=mine.jsonl starts from"),
        (["score", "demo", "run_dir=/shared/x"], "score.input is not set"),
        (["evaluate", "demo", "run_dir=/shared/x", "evaluate.model=here"], "evaluate.model=here starts from"),
        (["preprocess", "demo", "run_dir=/shared/x", "preprocess.sources=[]"], "preprocess.sources is empty"),
        (["preprocess", "demo", "run_dir=/shared/x", "preprocess.tokenizer=t"], "preprocess.tokenizer=t starts from"),
        (["sweep", "demo", "run_dir=/shared/x", "sweep.seeds=[1,1]"], "sweep.seeds=[1, 1]"),
        (["ensemble", "demo", "run_dir=/shared/x"], "ensemble.members"),
        (["init-model", "demo", "run_dir=/shared/x", "init_model.tokenizer=qwen"], "init_model.tokenizer=qwen"),
        (["train", "demo", "run_dir=/shared/x", "cluster.submit.stop_wait_s=5"], "would kill a stopped training"),
        (["--retries", "2", "train", "demo", "run_dir=/shared/x"], "--retries needs --wait"),
        (["--package", "/tmp/x", "train", "demo", "run_dir=/shared/x"], "give an s3:// folder, or `image`"),
        (
            ["--wait", "--retries", "many", "train", "demo", "run_dir=/shared/x"],
            "--retries many must be a whole number",
        ),
    ],
)
def test_what_is_refused_before_anything_is_sent(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1 and "word@" not in printed


def test_code_on_s3_is_what_ray_unpacks_on_a_node(
    s3_server: S3Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    import asyncio

    from ray._private.runtime_env.packaging import download_and_unpack_package

    from jobs.recipe.load import load_recipe
    from jobs.submit.submit import _pack

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    recipe = load_recipe("demo", ["run_dir=/shared/x", "cluster.address=10.0.0.5:6379"])
    packed, place = _pack(recipe, f"s3://{s3_server.bucket}/code")
    assert place == f"s3://{s3_server.bucket}/code/{packed.sha256}.zip"
    folder = Path(asyncio.run(download_and_unpack_package(place, str(tmp_path / "node"))))
    assert (folder / "jobs" / "cli" / "main.py").read_bytes() == (
        Path(__file__).parents[3] / "jobs" / "cli" / "main.py"
    ).read_bytes()
    monkeypatch.chdir(folder)
    sent = load_recipe("recipe.yaml")
    assert (sent.name, sent.run_dir, sent.cluster.address) == ("demo", "/shared/x", None)
    packed, place = _pack(recipe, "image")
    assert packed.num_files == 1 and place == str(packed.file)


class Head:
    """Ray's client of a head that knows some jobs; keeps whose log was followed."""

    def __init__(self, *known: str) -> None:
        self._known = known
        self.followed: list[str] = []

    def get_job_info(self, job_id: str) -> Any:
        if job_id not in self._known:
            raise RuntimeError("Request failed with status code 404")
        return SimpleNamespace(
            submission_id=job_id, status=SimpleNamespace(value="RUNNING"), driver_exit_code=None, error_type=None,
            message=None, start_time=0, end_time=None, metadata=None, entrypoint="x",
        )  # fmt: skip

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        self.followed.append(job_id)
        yield "a line\n"


def test_nobody_follows_a_job_that_the_head_does_not_know() -> None:
    """Ray would write the follower's token into the head's log."""
    api: JobsApi = object.__new__(JobsApi)
    head = Head("known")
    api.url, api.token, api._client = "http://head:8265", None, head  # type: ignore[assignment]
    assert list(api.follow("unknown", tick_s=5)) == [] and head.followed == []
    assert list(api.follow("known", tick_s=5)) == ["a line\n"] and head.followed == ["known"]
