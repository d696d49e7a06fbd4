"""Sending a job to a cluster and following it: its log here, its exit code ours, another attempt where it was cut off.

`cluster_errors` makes the errors of `cluster` those of the command line.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.errors import ClusterError, ClusterUnavailable, LauncherFailed, Refused
from cluster.submission.job import Submission, next_attempt, write_record
from data_pipeline.errors import MissingInput, RunError, UserError
from jobs.runtime.terminal import say
from jobs.runtime.termination import Terminated

if TYPE_CHECKING:
    from cluster.submission.jobs_api import JobState

__all__ = ["COMMAND_KEY", "cluster_errors", "follow", "follow_to_its_end", "send"]

COMMAND_KEY = "verb"
"""Of a job's metadata on the cluster, where jobs of earlier versions have it too: the command that runs."""

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def send(submission: Submission, address: str | None) -> None:
    """Hand a submission to the cluster, remember it, and say how to go on with it."""
    from cluster.submission.jobs_api import JobsApi

    api = JobsApi(address)
    write_record(submission, api.url)  # before it is sent: a lost answer then loses no job
    api.submit(submission)
    sealed = f", with {', '.join(submission.env)} sealed" if submission.env else ""
    say(f"submitted {submission.id} to {api.url}{sealed}")
    say(f"  follow: basereward jobs logs -f {submission.id}")
    say(f"  stop:   basereward jobs stop {submission.id}")


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Errors of `cluster` as the command line reports them."""
    try:
        yield
    except Refused as error:
        raise UserError(str(error)) from error
    except LauncherFailed as error:
        raise RunError(str(error)) from error
    except ClusterError as error:
        raise MissingInput(str(error)) from error


def follow_to_its_end(submission: Submission, address: str | None, *, retries: int) -> int:
    """Follow a job until it has ended for good; returns its exit code, or 130 or 143 where we were asked to end."""
    from cluster.submission.waiting import Ending, how_it_ended

    left = retries
    while True:
        state, code = follow(submission.id, address)
        if code is not None:
            return code
        ended = how_it_ended(state)
        say(f"{submission.id}: {ended.why}")
        if ended.ending is not Ending.INTERRUPTED:
            return ended.code
        if left == 0:
            say(f"  again: basereward jobs retry {submission.id}")
            return ended.code
        left -= 1
        submission = next_attempt(submission)
        say(f"submitting it again, {left} more after this")
        with cluster_errors():
            send(submission, address)


def follow(job_id: str, address: str | None) -> "tuple[JobState | None, int | None]":
    """Print what a job prints until it has ended.

    Returns:
        Its last state, and None; or, where Ctrl-C or SIGTERM ended the following and not the job, the exit code.
    """
    from cluster.submission.jobs_api import JobsApi
    from cluster.submission.waiting import watch

    watched = watch(lambda: JobsApi(address), job_id, note=say)
    try:
        with cluster_errors():
            while True:
                try:
                    sys.stdout.write(next(watched))
                    sys.stdout.flush()
                except StopIteration as end:
                    return end.value, None
                except ClusterUnavailable as error:
                    raise RunError(f"{error}; when it is back: basereward jobs logs -f {job_id}") from error
    except (KeyboardInterrupt, Terminated) as error:
        say(f"\ndetached; the job goes on. Follow: basereward jobs logs -f {job_id}")
        say(f"  stop: basereward jobs stop {job_id}")
        return None, EXIT_INTERRUPTED if isinstance(error, KeyboardInterrupt) else EXIT_TERMINATED
