"""The MLflow server as its image starts it, on a PostgreSQL of this machine: nobody comes in without a password."""

import base64
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3_server import free_ports
from terraform_tools import SOURCE

IMAGE = SOURCE / "modules" / "mlflow" / "image"
COMMAND = [sys.executable, str(IMAGE / "serve.py")]
_START_S = 180


@dataclass(frozen=True)
class ImageServer:
    """A server that answers."""

    url: str
    environment: dict[str, str]
    """What it was started with."""

    def answer(self, url: str, login: str | None = None, host: str | None = None) -> int:
        """The status of a GET, with the login ``NAME:PASSWORD``, sent to the host's name that the server expects."""
        request = urllib.request.Request(url, headers={"Host": host or self.environment["ALLOWED_HOSTS"]})
        if login:
            request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


@contextmanager
def image_server(settings: Mapping[str, str], database: str, folder: Path) -> Iterator[ImageServer]:
    """The server, with files in `folder`; `settings` are the variables of its image but for the database's."""
    from sqlalchemy.engine import make_url

    place, port = make_url(database), free_ports(1)[0]
    environment: dict[str, Any] = {
        **settings,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DB_HOST": place.host,
        "DB_PORT": str(place.port),
        "DB_NAME": place.database,
        "DB_USER": place.username,
        "DB_PASSWORD": place.password,
        "DB_SSL": "disable",
        "ARTIFACTS": str(folder / "artifacts"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": "1",
        "HOME": str(folder),
        "TMPDIR": str(folder),
    }
    server, log = ImageServer(f"http://127.0.0.1:{port}", environment), folder / "log.txt"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            COMMAND, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(server, process, log)
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait(timeout=20)


def _wait(server: ImageServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            if server.answer(f"{server.url}/health") == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")
