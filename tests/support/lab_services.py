"""The services beside a cluster, each on a host of its own: S3, PostgreSQL, and MLflow as its image starts it.

A host runs this file: `python lab_services.py s3|postgres|mlflow ADDRESS FOLDER [SETTINGS]`. It prints where the
service is once that answers, and serves until it is ended. What clients need is in `Services.env`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from network_hosts import Host, NetworkHosts
from s3_server import BUCKET, KEY, SECRET, S3Server, make_bucket
from s3_server import running as s3_running
from workplace import ROOT, kill_tree

IMAGE = ROOT / "infra" / "terraform" / "modules" / "mlflow" / "image"
MLFLOW_PORT = 5000
MLFLOW_USER, MLFLOW_PASSWORD = "team", "never-shown-to-anyone-1"
PATIENCE_S = 400


class Services:
    """An S3 server, and an MLflow server on a PostgreSQL of its own.

    Args:
        s3: another server's address, in place of one that is started, and where on it MLflow keeps its artifacts.
        login: MLflow's administrator and his password.
    """

    def __init__(
        self,
        hosts: NetworkHosts,
        folder: Path,
        *,
        s3: tuple[str, str] | None = None,
        login: tuple[str, str] = (MLFLOW_USER, MLFLOW_PASSWORD),
    ) -> None:
        self._hosts = hosts
        self._folder = folder
        self._login = login
        self._processes: list[subprocess.Popen[str]] = []
        self.hosts: list[Host] = []
        self.s3, artifacts = (str(self._start("s3")), f"s3://{BUCKET}/mlflow") if s3 is None else s3
        self._database = self._start("postgres")
        told = {"database": self._database, "s3": self.s3, "artifacts": artifacts, "login": login}
        self.mlflow = str(self._start("mlflow", json.dumps(told)))

    @property
    def bucket(self) -> str:
        return f"s3://{BUCKET}"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to read and write the bucket."""
        return {"AWS_ENDPOINT_URL_S3": self.s3, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    @property
    def mlflow_env(self) -> dict[str, str]:
        """What a process needs to be let in by MLflow."""
        return dict(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), self._login, strict=True))

    @property
    def secrets(self) -> list[str]:
        """What nobody may read anywhere."""
        return [self._login[1], self._database["password"]]

    def close(self) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=60)

    def _start(self, what: str, *settings: str) -> Any:
        host, folder = self._hosts.add(), self._folder / what
        self.hosts.append(host)
        folder.mkdir()
        command = [sys.executable, __file__, what, host.address, str(folder), *settings]
        process = self._hosts.start(host, command, {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"})
        self._processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("{"), line + process.communicate(timeout=60)[0]
        return json.loads(line)["at"]


@contextmanager
def s3(address: str, folder: Path) -> Iterator[str]:
    weed = str(Path(sys.executable).with_name("weed"))
    with s3_running(weed, folder, address) as server:
        os.environ.update(S3Server(server.endpoint).environment)
        asyncio.run(make_bucket(server))
        yield server.endpoint


@contextmanager
def postgres(address: str, folder: Path) -> Iterator[dict[str, str]]:
    from postgres_server import postgres_programs, running
    from sqlalchemy.engine import make_url

    programs = postgres_programs()
    assert programs is not None
    with running(programs, address) as url:
        one = make_url(url)
        yield {
            "host": str(one.host),
            "port": str(one.port),
            "user": str(one.username),
            "password": str(one.password),
            "name": str(one.database),
        }


@contextmanager
def mlflow(address: str, folder: Path, settings: str) -> Iterator[str]:
    """The server as `infra/terraform/modules/mlflow/image` starts it: nobody without a password."""
    told = json.loads(settings)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{f"DB_{key.upper()}": value for key, value in told["database"].items()},
        "DB_SSL": "disable",
        "ADMIN_NAME": told["login"][0],
        "ADMIN_PASSWORD": told["login"][1],
        "SESSION_KEY": "only-for-this-test",
        "ARTIFACTS": told["artifacts"],
        "ALLOWED_HOSTS": f"{address}:{MLFLOW_PORT}",
        "HOST": address,
        "PORT": str(MLFLOW_PORT),
        "WORKERS": "1",
        "TMPDIR": str(folder),
        "MLFLOW_S3_ENDPOINT_URL": told["s3"],
        **S3Server(told["s3"]).environment,
    }
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(IMAGE / "serve.py")], env=env, cwd=folder, stdout=log, stderr=log
        )
    try:
        url = f"http://{address}:{MLFLOW_PORT}"
        deadline_s = time.monotonic() + PATIENCE_S
        while not _healthy(url):
            assert process.poll() is None and time.monotonic() < deadline_s, (folder / "log.txt").read_text()[-3000:]
            time.sleep(0.3)
        yield url
    finally:
        if process.poll() is None:
            kill_tree(process.pid)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main(what: str, address: str, folder: str, *settings: str) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    kinds: dict[str, Any] = {"s3": s3, "postgres": postgres, "mlflow": mlflow}
    with kinds[what](address, Path(folder), *settings) as at:
        print(json.dumps({"at": at}), flush=True)
        ended.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
