"""A real MLflow server in a process of its own, which a test may stop and start again at the same address."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from workplace import kill_tree

from jobs.tracking.ui import SERVER_ENV

PATIENCE_S = 120


class MlflowServer:
    """A server; its address stays over restarts.

    Args:
        folder: for its log, and for what has no other place.
        database: None: SQLite in `folder`.
        artifacts: where it keeps files, which it takes and gives itself; None: in `folder`.
        env: more of its environment, such as keys for `artifacts`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        artifacts: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._database = database or f"sqlite:///{folder}/server.db"
        self._artifacts = artifacts or str(folder / "artifacts")
        self._env = env or {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", self._database, "--workers", "1"]
        command += ["--artifacts-destination", self._artifacts]
        env = {**os.environ, **SERVER_ENV, **self._env}
        with open(self._folder / "server.txt", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise AssertionError((self._folder / "server.txt").read_text()[-3000:])
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                kill_tree(self._process.pid)
            self._process.wait(timeout=30)
            self._process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
