"""Ray's Jobs API on a head, with the cluster's token: submit, look, follow, stop.

Ray's own client takes its address from RAY_ADDRESS where that is set, waits without end for an answer, and raises
RuntimeError for everything. Here an address given counts, an answer is waited for `ANSWER_TIMEOUT_S`, and each
failure says what to change.
"""

import asyncio
import logging
import os
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from cluster.auth import find_token
from cluster.errors import ClusterUnavailable, Refused, TokenRefused
from cluster.submission.job import Submission, runtime_env

__all__ = ["DASHBOARD_PORT", "JobState", "JobsApi", "NodeState", "api_url"]

DASHBOARD_PORT = 8265
GCS_PORT = 6379
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
ADDRESS_ENV = "RAY_API_SERVER_ADDRESS"

for _name in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # they set themselves to INFO when they are imported


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job as the head knows it."""

    id: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    exit_code: int | None
    """Of its process; negative: the signal that killed it; None: it has not ended, or Ray lost it."""
    error_type: str | None
    message: str
    started_s: float
    """Unix time at which it was taken in."""
    ended_s: float | None
    metadata: Mapping[str, str]
    entrypoint: str

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in {"STOPPED", "SUCCEEDED", "FAILED"}


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """A node as the head's dashboard knows it."""

    id: str
    address: str
    state: str
    """ALIVE or DEAD."""
    is_head: bool
    total: dict[str, float]
    """Resources by name; memory in bytes."""


def api_url(address: str | None) -> str:
    """The URL of a head's Jobs API from what a person writes; None: from RAY_API_SERVER_ADDRESS, or this machine.

    >>> api_url("10.0.0.5"), api_url("head.internal:9000"), api_url("https://ray.example.com/")
    ('http://10.0.0.5:8265', 'http://head.internal:9000', 'https://ray.example.com')

    Raises:
        Refused: it can't be the address of a Jobs API.
    """
    text = (address or os.environ.get(ADDRESS_ENV) or f"127.0.0.1:{DASHBOARD_PORT}").rstrip("/")
    scheme, _, rest = text.rpartition("://")
    parts = urlsplit(f"//{rest}")
    try:
        port = parts.port
    except ValueError as error:
        raise Refused(f"address {text!r}: {error}") from error
    if scheme not in {"", "http", "https"} or not parts.hostname:
        raise Refused(f"address {text!r} is no address of a Jobs API: give http://HEAD:{DASHBOARD_PORT}")
    if parts.username or parts.password:
        raise Refused("the address holds a password, which logs would show: give the token by RAY_AUTH_TOKEN_PATH")
    if port == GCS_PORT:
        raise Refused(f"address {text!r}: {GCS_PORT} is the port of Ray's nodes; jobs go to {DASHBOARD_PORT}")
    if not scheme and port is None:
        rest = f"{rest}:{DASHBOARD_PORT}"
    return f"{scheme or 'http'}://{rest}"


class JobsApi:
    """The Jobs API at an address.

    Raises:
        ClusterUnavailable: nothing answers there, or no Jobs API.
        TokenRefused: it wants another token.
    """

    def __init__(self, address: str | None) -> None:
        self.url = api_url(address)
        self.token = find_token()
        _check_reachable(self.url)
        headers = {"Authorization": f"Bearer {self.token.text}"} if self.token else None
        with self._said(), _without_ray_addresses():
            self._client = _Client(self.url, headers=headers)

    def submit(self, submission: Submission) -> str:
        """Start a job; returns its id.

        Raises:
            Refused: a variable is not set, or the id is taken.
        """
        environment = runtime_env(submission, self.token)
        with self._said():
            return str(
                self._client.submit_job(
                    entrypoint=submission.entrypoint(),
                    submission_id=submission.id,
                    runtime_env=environment,
                    metadata=submission.shown(),
                    entrypoint_num_cpus=submission.cpus or None,
                    entrypoint_resources=dict(submission.resources) or None,
                )
            )

    def jobs(self) -> list[JobState]:
        """All submitted jobs, the newest first."""
        with self._said():
            found = [_state(job) for job in self._client.list_jobs() if job.submission_id]
        return sorted(found, key=lambda job: -job.started_s)

    def job(self, job_id: str) -> JobState | None:
        """One job; None where the head knows none of this id."""
        try:
            with self._said():
                return _state(self._client.get_job_info(job_id))
        except _Unknown:
            return None

    def logs(self, job_id: str) -> str:
        """All that a job has printed."""
        try:
            with self._said():
                return str(self._client.get_job_logs(job_id))
        except _Unknown:
            raise Refused(f"the head at {self.url} knows no job {job_id!r}: see basereward jobs list") from None

    def stop(self, job_id: str) -> bool:
        """Send SIGTERM to a job; whether it was running."""
        try:
            with self._said():
                return bool(self._client.stop_job(job_id))
        except _Unknown:
            raise Refused(f"the head at {self.url} knows no job {job_id!r}: see basereward jobs list") from None

    def nodes(self) -> list[NodeState]:
        """All nodes, dead ones too, the head first."""
        with self._said():
            answer = self._client.get_json("/api/v0/nodes?detail=1&limit=10000")
        found = [_node(entry) for entry in answer["data"]["result"]["result"]]
        return sorted(found, key=lambda node: (not node.is_head, node.address, node.id))

    def follow(self, job_id: str, tick_s: float) -> Iterator[str | None]:
        """What a job prints, from its first line on, as it prints it; None after each `tick_s` without a word.

        Ends when the head closes the log, which it does when the job has ended, or when the connection breaks; at once
        where the head knows no such job. It is asked that first: Ray 2.60 writes the headers of a follower of an
        unknown job, with the token, into the head's log.
        """
        if self.job(job_id) is None:
            return
        texts: queue.Queue[str | None] = queue.Queue()

        async def read() -> None:
            async for text in self._client.tail_job_logs(job_id):
                texts.put(text)

        def run() -> None:
            try:
                asyncio.run(read())
            except (OSError, RuntimeError, ClientError):
                pass  # the connection is gone; who follows asks for the job's state next, and learns why
            finally:
                texts.put(None)

        # A thread of its own: Ctrl-C then ends the wait for a text, and not some part of an event loop.
        threading.Thread(target=run, daemon=True, name=f"logs of {job_id}").start()
        while True:
            try:
                text = texts.get(timeout=tick_s)
            except queue.Empty:
                yield None
                continue
            if text is None:
                return
            yield text

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Errors of Ray's client as ours."""
        try:
            yield
        except AuthenticationError as error:
            tried = (
                f"refuses the token from {self.token.place}" if self.token else "asks for a token, and there is none"
            )
            message = f"the cluster at {self.url} {tried}: set RAY_AUTH_TOKEN_PATH to a file with the cluster's token"
            raise TokenRefused(message) from error
        except OSError as error:  # requests' errors are OSErrors
            raise ClusterUnavailable(f"no answer from the Jobs API at {self.url} ({type(error).__name__})") from error
        except RuntimeError as error:
            text = str(error).strip()
            if "status code 404" in text or "does not exist" in text:
                raise _Unknown(f"the head at {self.url} has no such thing: {text.splitlines()[0][:200]}") from error
            if "already exists" in text:
                raise Refused("a job of this id was submitted already: see basereward jobs list") from error
            raise ClusterUnavailable(f"the Jobs API at {self.url} says: {text.splitlines()[0][:300]}") from error


class _Unknown(ClusterUnavailable):
    """The head has no such thing."""


class _Client(JobSubmissionClient):
    """Ray's client, that doesn't wait for ever."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        options.setdefault("timeout", ANSWER_TIMEOUT_S)
        return super()._do_request(method, endpoint, **options)

    def get_json(self, path: str) -> Any:
        """An answer of the dashboard that Ray's client has no function for."""
        answer = self._do_request("GET", path)
        if answer.status_code != 200:
            self._raise_error(answer)
        return answer.json()


def _check_reachable(url: str) -> None:
    """Fail in seconds where Ray's client waits for the operating system's own time-out."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    assert parts.hostname is not None  # `api_url` made it
    try:
        socket.create_connection((parts.hostname, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        message = f"no Jobs API answers at {url} ({error}): check --address, or {ADDRESS_ENV}"
        raise ClusterUnavailable(message) from error


@contextmanager
def _without_ray_addresses() -> Iterator[None]:
    """Ray's client takes these in place of the address that it is given."""
    kept = {name: os.environ.pop(name) for name in (ADDRESS_ENV, "RAY_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _state(job: Any) -> JobState:
    return JobState(
        id=job.submission_id,
        status=str(job.status.value),
        exit_code=job.driver_exit_code,
        error_type=job.error_type,
        message=(job.message or "").strip(),
        started_s=(job.start_time or 0) / 1000,
        ended_s=job.end_time / 1000 if job.end_time else None,
        metadata={key.removeprefix("basereward."): value for key, value in (job.metadata or {}).items()},
        entrypoint=job.entrypoint,
    )


def _node(entry: Mapping[str, Any]) -> NodeState:
    return NodeState(
        id=entry["node_id"],
        address=entry["node_ip"],
        state=entry["state"],
        is_head=bool(entry["is_head_node"]),
        total=dict(entry["resources_total"] or {}),
    )
