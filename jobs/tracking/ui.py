"""`basereward ui`: MLflow's pages of the recipe's runs in a browser.

A server's address is printed as it is. An SQLite store is served from here, to this machine only, until Ctrl-C.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil

from data_pipeline.errors import MissingInput, RunError
from jobs.recipe.addresses import SQLITE, check_address
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import say
from jobs.tracking.address import absolute_uri
from jobs.tracking.store import experiment_id

__all__ = ["run", "serving", "url_of"]

START_S = 120.0
END_S = 10.0
# Nothing is sent anywhere, and none of the server's workers for language-model judges is started.
SERVER_ENV = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def run(recipe: Recipe) -> None:
    """Say where the runs of `recipe.tracking` are shown; serve them where that is an SQLite file.

    Raises:
        RecipeError: the address names no store.
        MissingInput: the SQLite file is not there: nothing has run yet.
        RunError: the server did not start; says what it printed.
    """
    uri = recipe.tracking.uri
    check_address(uri)
    if not uri.startswith(SQLITE):
        say(f"Open {url_of(uri, experiment_id(recipe.tracking))}")
        return
    path = Path(uri.removeprefix(SQLITE)).absolute()
    if not path.exists():
        raise MissingInput(f"{path} is not there: `basereward train` makes it")
    with serving(absolute_uri(uri), recipe.tracking.ui_port) as address, suppress(KeyboardInterrupt):
        say(f"Open {url_of(address, experiment_id(recipe.tracking))}\nCtrl-C ends it.")
        while True:
            time.sleep(3600)


def url_of(address: str, experiment: str) -> str:
    """The page with the list of an experiment's runs."""
    return f"{address.rstrip('/')}/#/experiments/{experiment}/runs?workflowType=machine_learning"


@contextmanager
def serving(store: str, port: int | None, *options: str) -> Iterator[str]:
    """In the block, `mlflow server` on 127.0.0.1; yields its address. Nothing of it is left behind.

    Args:
        store: what ``--backend-store-uri`` is given.
        port: None: a free one.
        options: more of the server's own.
    """
    port = _free_port() if port is None else port
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1", *options]
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C reaches only us, and we end all that it started.
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **SERVER_ENV}, start_new_session=True
        )
        try:
            if not _answers(port, process):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()[-15:]
                raise RunError("\n".join([f"the MLflow server on port {port} did not start:", *said]))
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process.pid)
            process.wait(END_S)


def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the server is there; False where it never is."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return process.poll() is None
        except (OSError, HTTPException):
            time.sleep(0.2)
        finally:
            connection.close()
    return False


def _end(pid: int) -> None:
    """SIGTERM for a process and all it started, then SIGKILL for what is left."""
    try:
        family = [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return
    for send in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            if member.is_running():
                send(member)
        _, family = psutil.wait_procs(family, timeout=END_S)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
