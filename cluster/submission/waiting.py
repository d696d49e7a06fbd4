"""How a job ended, whether it should come again, and waiting for it through a head that is away for a while."""

import signal
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum

from cluster.errors import ClusterUnavailable, TokenRefused
from cluster.submission.jobs_api import JobsApi, JobState

__all__ = ["Ended", "Ending", "how_it_ended", "watch"]

EXIT_FAILED = 1
EXIT_NO_ROOM = 75
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_KILLED = 128 + signal.SIGKILL
RETRY_S = 3.0


class Ending(Enum):
    """What became of a job."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    """By something outside of it: a resubmitted job goes on from its newest checkpoint."""


@dataclass(frozen=True)
class Ended:
    """A job's end as an exit code and in words."""

    ending: Ending
    code: int
    why: str


def how_it_ended(state: JobState | None) -> Ended:
    """The end of a job whose `state` is final; None: the head is up and doesn't know it, because it started anew."""
    if state is None:
        return Ended(Ending.INTERRUPTED, EXIT_FAILED, "the head was started anew and knows nothing of it")
    if state.status == "SUCCEEDED":
        return Ended(Ending.DONE, 0, "done")
    if state.status == "STOPPED":
        return Ended(Ending.STOPPED, EXIT_TERMINATED, "stopped")
    code = state.exit_code
    if code is None:
        lost = state.error_type == "JOB_SUPERVISOR_ACTOR_DIED"
        why = f"{state.error_type or 'no exit code'}: {state.message.splitlines()[0] if state.message else ''}"
        return Ended(Ending.INTERRUPTED if lost else Ending.FAILED, EXIT_FAILED, why)
    code = 128 - code if code < 0 else code
    if code == EXIT_TERMINATED:
        return Ended(Ending.INTERRUPTED, code, "ended by SIGTERM, as a cluster sends before it takes a machine")
    if code == EXIT_KILLED:
        return Ended(Ending.INTERRUPTED, code, "killed (SIGKILL): its node was lost or out of memory")
    if code == EXIT_NO_ROOM:
        return Ended(Ending.INTERRUPTED, code, "the cluster had no room for it in time")
    return Ended(Ending.FAILED, code, f"exit code {code}")


def watch(
    connect: Callable[[], JobsApi],
    job_id: str,
    *,
    note: Callable[[str], None],
    patience_s: float = 600.0,
    poll_s: float = 2.0,
) -> Generator[str, None, JobState | None]:
    """Yield what the job prints, each part once, until it has ended; returns its last state, None: it is unknown.

    A head that doesn't answer is asked again for `patience_s`.

    Args:
        connect: makes a new connection.
        note: gets a line that says that the head is away or back.

    Raises:
        ClusterUnavailable: the head stayed away.
        TokenRefused: it wants another token.
    """
    reader = _Reader(job_id, poll_s)
    away_since: float | None = None
    while True:
        try:
            api = connect()
            if away_since is not None:
                note(f"the head at {api.url} answers again")
                away_since = None
            state = yield from reader.read(api)
            if state is None or state.ended:
                return state
            time.sleep(min(poll_s, 0.2))
        except TokenRefused:
            raise
        except ClusterUnavailable as error:
            now_s = time.monotonic()
            if away_since is None:
                away_since = now_s
                note(f"{error}; asking again for {patience_s:.0f} s, the job may go on meanwhile")
            elif now_s - away_since > patience_s:
                raise
            time.sleep(RETRY_S)


class _Reader:
    """Reads a job's log over as many connections as it takes, each part once."""

    def __init__(self, job_id: str, poll_s: float) -> None:
        self._job_id = job_id
        self._poll_s = poll_s
        self._shown = 0

    def read(self, api: JobsApi) -> Generator[str, None, JobState | None]:
        """Over one connection, until the job has ended or the connection has; returns the job's state."""
        seen = 0
        for text in api.follow(self._job_id, self._poll_s):
            if text is None:
                state = api.job(self._job_id)  # fails where the head is gone and the connection doesn't say so
                if state is None or state.ended:
                    break
                continue
            seen += len(text)
            if seen > self._shown:
                yield text[-(seen - self._shown) :]
                self._shown = seen
        state = api.job(self._job_id)
        if state is not None and state.ended:
            yield api.logs(self._job_id)[self._shown :]  # what it printed while its end was noticed
        return state
