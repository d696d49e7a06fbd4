"""What one node has and reaches, looked at on that node; `cluster.nodes.diagnosis` says what of it is wrong."""

import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

__all__ = ["Gpu", "NodeFacts", "look", "reach_endpoint", "reach_http"]

NCCL_PACKAGES = {"nvidia-nccl-cu13": 13, "nvidia-nccl-cu12": 12}  # and the CUDA that each is built for
REACH_TIMEOUT_S = 10.0
SHM = Path("/dev", "shm")  # Ray puts its object store there
_QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version,ecc.errors.uncorrected.volatile.total")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU as its driver names it."""

    name: str
    memory_mb: int
    driver: str
    ecc_errors: int
    """Uncorrected since the last reset; 0 where the GPU doesn't count them."""


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """What a node said of itself."""

    host: str
    gpus: tuple[Gpu, ...]
    gpu_problem: str | None
    """What `nvidia-smi` said instead of naming GPUs; None: it worked, or is not there."""
    nccl: str | None
    cuda: int | None
    """The major version of CUDA that NCCL, and torch with it, is built for."""
    efa_devices: int
    temp_free_gb: float
    shm_gb: float
    open_files: int
    unreached: Mapping[str, str]
    """Why an address was not reached, by what it is."""


def look(temp_folder: str, addresses: Mapping[str, str]) -> NodeFacts:
    """Look around on this node.

    Args:
        temp_folder: where Ray keeps its files here.
        addresses: HTTP addresses to ask, by what they are.
    """
    gpus, problem = _gpus()
    nccl, cuda = next(
        ((found, cuda) for name, cuda in NCCL_PACKAGES.items() if (found := _version(name))), (None, None)
    )
    unreached = {what: why for what, url in addresses.items() if (why := reach_http(url))}
    return NodeFacts(
        host=socket.gethostname(),
        gpus=gpus,
        gpu_problem=problem,
        nccl=nccl,
        cuda=cuda,
        efa_devices=len(_efa_devices()),
        temp_free_gb=shutil.disk_usage(temp_folder).free / 1024**3,
        shm_gb=shutil.disk_usage(SHM).total / 1024**3 if SHM.is_dir() else 0.0,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        unreached=unreached,
    )


def reach_http(url: str) -> str | None:
    """Why no web server answers at `url`; None: one does, even if it wants a password."""
    if urlsplit(url).scheme not in {"http", "https"}:
        return f"{url} is no http(s) address"
    try:
        with urlopen(url, timeout=REACH_TIMEOUT_S):  # noqa: S310  # the scheme is checked above
            return None
    except HTTPError as error:
        return None if error.code in {401, 403, 404} else f"{url} answers {error.code}"
    except (URLError, OSError) as error:
        return f"{url} does not answer: {getattr(error, 'reason', None) or error}"


def reach_endpoint(env: Mapping[str, str] = os.environ) -> str | None:
    """Why nothing listens at the S3 endpoint that this environment names; None: something does."""
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    url = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com"
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        return f"the S3 endpoint {url} does not answer: {error}"
    return None


def _gpus() -> tuple[tuple[Gpu, ...], str | None]:
    try:
        done = subprocess.run(
            [*_QUERY, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        return (), None
    except subprocess.TimeoutExpired:
        return (), "nvidia-smi did not answer in 60 s"
    if done.returncode:
        return (), (done.stdout + done.stderr).strip()[:300]
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return tuple(_gpu(*row) for row in rows), None


def _gpu(name: str, memory: str, driver: str, ecc: str) -> Gpu:
    return Gpu(name=name, memory_mb=int(memory), driver=driver, ecc_errors=int(ecc) if ecc.isdigit() else 0)


def _efa_devices() -> list[str]:
    """InfiniBand devices whose driver is Amazon's."""
    folder = Path("/sys/class/infiniband")
    drivers = (
        {one.name: (one / "device" / "driver").resolve().name for one in folder.iterdir()} if folder.is_dir() else {}
    )
    return [name for name, driver in drivers.items() if driver == "efa"]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
