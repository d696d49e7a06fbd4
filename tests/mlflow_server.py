"""A real MLflow server in a process of its own, which a test may stop and start again at the same address."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from workplace import kill_tree

PATIENCE_S = 120


class MlflowServer:
    """A server on SQLite; its address stays over restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        with open(self._folder / "server.txt", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._healthy():
            assert self._process.poll() is None and time.monotonic() < deadline_s, "the MLflow server did not start"
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            kill_tree(self._process.pid)
            self._process.wait(timeout=30)
            self._process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
