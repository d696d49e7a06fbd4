"""One job as it is handed to Ray: what runs, with which code, under which pins; and what is remembered of it.

A submission's id is the command's name, a hash of what was sent and the time:
``train-1f0c2a9b-20260102T030405123456``. It is made once, so that a request that is sent twice starts one job.
"""

import hashlib
import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cluster.auth import Token, state_folder
from cluster.errors import Refused
from cluster.submission.job_entry import PINS_ENV
from cluster.submission.sealing import OPEN_HERE, SEALED_ENV, seal

__all__ = ["Submission", "new_id", "next_attempt", "read_record", "runtime_env", "write_record"]

SETUP_TIMEOUT_S = 600
KEPT_RECORDS = 200
STOP_WAIT_ENV = "RAY_JOB_STOP_WAIT_TIME_S"  # Ray's supervisor kills what has not ended by then; its default is 3 s
_PREFIX = "basereward."


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job that can be sent, and sent again."""

    id: str
    words: tuple[str, ...]
    """The command behind `cluster.submission.job_entry`; shown in the dashboard, so nothing in it may be secret."""
    package: str
    """The zip with its code: a file here, or an ``s3://`` address that the cluster's nodes may read."""
    env: tuple[str, ...] = ()
    """Names of variables that are sealed and sent along."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Versions that the cluster must have, by distribution; ``python`` is Python's own."""
    cpus: float = 0.0
    """CPUs that the job's own process takes; 0 and no resources: it runs on the head."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """Custom resources that its own process takes."""
    stop_wait_s: int = 180
    """Seconds between the SIGTERM of a stop and SIGKILL."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    first: str | None = None
    """The id of the first attempt; None: this is the first."""

    def entrypoint(self) -> str:
        """The shell line that Ray runs; ``exec``, so that signals and the exit code are the command's own."""
        return f"exec python -m cluster.submission.job_entry {shlex.join(self.words)}"

    def shown(self) -> dict[str, str]:
        """The job's metadata in Ray: names and numbers, no values of variables."""
        own = {"attempt": str(self.attempt), "env": ",".join(self.env), "first": self.first or self.id}
        return {_PREFIX + key: value for key, value in {**self.metadata, **own}.items()}


def new_id(command: str, content: Sequence[str], now: datetime | None = None) -> str:
    """An id for a job of this content.

    >>> new_id("train", ["a"], datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
    'train-8d7f8f85-20260102T030405000678'
    """
    digest = hashlib.sha256(json.dumps(list(content)).encode()).hexdigest()[:8]
    return f"{command}-{digest}-{now or datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def next_attempt(submission: Submission) -> Submission:
    """The same job under another id."""
    command, digest, _ = submission.id.rsplit("-", 2)
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    return replace(
        submission,
        id=f"{command}-{digest}-{moment}",
        attempt=submission.attempt + 1,
        first=submission.first or submission.id,
    )


def runtime_env(submission: Submission, token: Token | None) -> dict[str, Any]:
    """What Ray makes on each node for the job; variables are taken from this process and sealed.

    Raises:
        Refused: a variable is not set here, or there is no token to seal with.
    """
    env_vars = {PINS_ENV: json.dumps(dict(submission.pins)), STOP_WAIT_ENV: str(submission.stop_wait_s)}
    made: dict[str, Any] = {
        "working_dir": submission.package,
        "env_vars": env_vars,
        "config": {"setup_timeout_seconds": SETUP_TIMEOUT_S},
    }
    if not submission.env:
        return made
    missing = [name for name in submission.env if name not in os.environ]
    if missing:
        raise Refused(f"--env {missing[0]}: no such variable is set here; export it, or leave it out")
    if token is None:
        raise Refused(
            f"--env {submission.env[0]}: variables are sealed with the cluster's token, and there is none: "
            "set RAY_AUTH_TOKEN_PATH to the file with it"
        )
    env_vars[SEALED_ENV] = seal({name: os.environ[name] for name in submission.env}, token)
    made["worker_process_setup_hook"] = OPEN_HERE
    return made


def write_record(submission: Submission, address: str) -> Path:
    """Remember a submission on this machine, without the values of its variables, so that it can be sent again."""
    folder = state_folder() / "jobs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{submission.id}.json"
    _forget(folder, submission.package)
    path.write_text(json.dumps({"address": address, "submission": asdict(submission)}, indent=1), encoding="utf-8")
    return path


def _forget(folder: Path, package: str) -> None:
    """Delete all records but the newest `KEPT_RECORDS`, and packages that neither those nor the next one need."""
    records = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    if len(records) < KEPT_RECORDS:
        return
    for path in records[KEPT_RECORDS - 1 :]:
        path.unlink()
    kept = records[: KEPT_RECORDS - 1]
    needed = {package, *(json.loads(path.read_text())["submission"]["package"] for path in kept)}
    newest_s = time.time() - 3600  # another process may just have made one
    for path in (folder.parent / "packages").glob("*.zip"):
        if str(path) not in needed and path.stat().st_mtime < newest_s:
            path.unlink()


def read_record(submission_id: str) -> tuple[Submission, str]:
    """A submission made on this machine, and the address it went to.

    Raises:
        Refused: there is no record of it, or its package is gone.
    """
    path = state_folder() / "jobs" / f"{Path(submission_id).name}.json"
    if not path.is_file():
        raise Refused(f"job {submission_id!r} was not submitted from here: submit its command and recipe again")
    record = json.loads(path.read_text(encoding="utf-8"))
    settings = record["submission"]
    settings.update(words=tuple(settings["words"]), env=tuple(settings["env"]))
    submission = Submission(**settings)
    if "://" not in submission.package and not Path(submission.package).is_file():
        raise Refused(f"the code of job {submission_id!r} is gone from {submission.package}: submit it again")
    return submission, str(record["address"])
