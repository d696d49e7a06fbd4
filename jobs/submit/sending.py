"""Handing a submission to a cluster, and the errors of `cluster` as the command line reports them."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.errors import ClusterError, LauncherFailed, Refused
from cluster.submission.job import Submission, write_record
from data_pipeline.errors import MissingInput, RunError, UserError
from jobs.runtime.terminal import say

__all__ = ["cluster_errors", "send"]


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
