"""`basereward jobs list|status|logs|stop|retry`: submitted jobs; each function returns the exit code."""

import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

from cluster.errors import Refused
from cluster.submission.job import next_attempt, read_record
from data_pipeline.errors import RunError, UserError
from jobs.runtime.terminal import columns, duration, say, table
from jobs.submit.send_and_follow import COMMAND_KEY, cluster_errors, follow, follow_to_its_end, send

if TYPE_CHECKING:
    from cluster.submission.jobs_api import JobState

__all__ = ["list_jobs", "logs", "retry", "status", "stop"]

STOP_PATIENCE_S = 30.0  # beyond what the job itself was given to end
DEFAULT_STOP_WAIT_S = 180.0


def list_jobs(*, address: str | None) -> int:
    """A table of the head's submitted jobs."""
    from cluster.submission.jobs_api import JobsApi

    with cluster_errors():
        api = JobsApi(address)
        found = api.jobs()
    names = ("job", "state", "exit code", "recipe", "started", "took", "attempt")
    columns(f"Jobs of {api.url}", names, [_cells(job) for job in found])
    return 0


def status(job_id: str, *, address: str | None) -> int:
    """One job; the exit code is 0 whatever became of it."""
    with cluster_errors():
        job = _job(job_id, address)
    rows = [("state", job.status), ("exit code", _code(job)), ("started", _moment(job.started_s)), ("took", _took(job))]
    rows += [("command", job.entrypoint), *sorted(job.metadata.items())]
    if job.error_type:
        rows.append(("error", job.error_type))
    table(f"Job {job.id}", rows)
    if job.message:
        say(job.message)
    return 0


def logs(job_id: str, *, follow: bool, address: str | None) -> int:
    """Print a job's log; with `follow` the exit code is the job's."""
    from cluster.submission.jobs_api import JobsApi

    if not follow:
        with cluster_errors():
            sys.stdout.write(JobsApi(address).logs(job_id))
        return 0
    with cluster_errors():
        _job(job_id, address)
    return _follow(job_id, address)


def stop(job_id: str, *, address: str | None) -> int:
    """SIGTERM, and wait until it has ended.

    Raises:
        RunError: it has not.
    """
    from cluster.submission.jobs_api import JobsApi

    with cluster_errors():
        api = JobsApi(address)
        if not api.stop(job_id):
            say(f"{job_id} is not running: {_job(job_id, address).status}")
            return 0
        say(f"{job_id}: asked to stop; a training ends after its step, with a checkpoint")
        wait_s = _stop_wait_s(job_id) + STOP_PATIENCE_S
        deadline_s = time.monotonic() + wait_s
        while time.monotonic() < deadline_s:
            job = api.job(job_id)
            if job is None or job.ended:
                say(f"{job_id}: {job.status if job else 'gone'}")
                return 0
            time.sleep(0.5)
    raise RunError(f"{job_id} still runs {wait_s:.0f} s after it was asked to stop: see basereward jobs logs {job_id}")


def retry(job_id: str, *, wait: bool, address: str | None) -> int:
    """Submit a job of this machine again.

    Raises:
        UserError: it is still running, or was submitted elsewhere.
    """
    from cluster.submission.jobs_api import JobsApi

    with cluster_errors():
        submission, used = read_record(job_id)
        url = address or used
        job = JobsApi(url).job(job_id)
        if job is not None and not job.ended:
            raise UserError(f"{job_id} is {job.status}: stop it first, two of it would write the same files")
        submission = next_attempt(submission)
        send(submission, url)
    return follow_to_its_end(submission, url, retries=0) if wait else 0


def _follow(job_id: str, address: str | None) -> int:
    from cluster.submission.waiting import how_it_ended

    state, code = follow(job_id, address)
    if code is not None:
        return code
    ended = how_it_ended(state)
    say(f"{job_id}: {ended.why}")
    return ended.code


def _job(job_id: str, address: str | None) -> "JobState":
    from cluster.submission.jobs_api import JobsApi

    api = JobsApi(address)
    job = api.job(job_id)
    if job is None:
        raise Refused(f"the head at {api.url} knows no job {job_id!r}: see basereward jobs list")
    return job


def _stop_wait_s(job_id: str) -> float:
    try:
        return float(read_record(job_id)[0].stop_wait_s)
    except Refused:
        return DEFAULT_STOP_WAIT_S  # submitted elsewhere


def _cells(job: "JobState") -> tuple[str, ...]:
    recipe = f"{job.metadata.get(COMMAND_KEY, '')} {job.metadata.get('recipe', '')}".strip()
    return (
        job.id, job.status, _code(job), recipe, _moment(job.started_s), _took(job), job.metadata.get("attempt", "")
    )  # fmt: skip


def _code(job: "JobState") -> str:
    from cluster.submission.waiting import how_it_ended

    return str(how_it_ended(job).code) if job.ended else ""


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def _took(job: "JobState") -> str:
    return duration((job.ended_s or time.time()) - job.started_s)
