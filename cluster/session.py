"""A Ray cluster for the length of a `with` block: an existing one by address, or one started here.

1. An address given: check within seconds that something answers there, then connect; the packages of the caller travel
   along as `py_modules`, so that workers on other hosts import the same code.
2. No address: write a private token, start a cluster of this machine's CPUs and GPUs with the dashboard on 127.0.0.1.
3. At the end: disconnect, and stop only what step 2 started.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import services
from ray._private.authentication.authentication_token_setup import _enable_token_auth  # Ray reads the mode once only
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.exceptions import AuthenticationError, RpcError

from cluster.auth import Token, ensure_token, find_token, token_file
from cluster.capacity import cpus_at_most, gpus_at_most
from cluster.errors import ClusterUnavailable, Refused, StartFailed, TokenRefused
from cluster.package import package_folder

__all__ = ["ClusterInfo", "ClusterUnavailable", "StartFailed", "dead_process", "ray_session", "token_file"]

CONNECT_TIMEOUT_S = 5.0
DEFAULT_GCS_PORT = 6379
OBJECT_STORE_BYTES = 500_000_000  # a started cluster moves paths and counts between processes, never data

# Read by Ray at import or start. `setdefault`: what the caller has exported wins.
QUIET_ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_task_oom_retries": "5",  # Ray's own default is without end: one task too big for its node would hang a job
}

NO_GPU_ENV = {"CUDA_VISIBLE_DEVICES": ""}

_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
_NEEDED = {
    "gcs_server": "the cluster's head process (Ray's gcs_server)",
    "raylet": "Ray's process on this node (raylet)",
}
_SET_HERE: set[str] = set()  # variables of this process that an earlier `_start` set, so not the caller's own


@dataclass(frozen=True)
class ClusterInfo:
    """What a command may know of the cluster it runs on."""

    started_here: bool
    dashboard_url: str | None
    """``http://host:port``; None where the cluster has no dashboard."""
    num_cpus: int
    num_gpus: int
    max_cpus: int
    """Those that it has, or may grow to."""
    max_gpus: int
    on_gpus: bool
    """Whether a worker takes a GPU: the cluster has some, or may grow some, and the recipe does not say ``cpu``."""
    token_file: Path | None
    """The file with the token that the dashboard asks for; None where the caller's own settings decide."""


@contextmanager
def ray_session(
    address: str | None,
    *,
    num_cpus: int | None = None,
    dashboard_port: int | None = None,
    packages: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    device: str = "auto",
) -> Iterator[ClusterInfo]:
    """Connect to the cluster at `address`, or start one on this machine, for the length of the block.

    Args:
        address: ``host:port`` or ``auto`` of an existing cluster; None starts one.
        num_cpus: CPUs of a started cluster; None: all of this machine. Not used with `address`.
        dashboard_port: port of a started cluster's dashboard; None: 8265, or the next free one.
        packages: names of importable packages that workers of an existing cluster get a copy of.
        env: environment variables of every worker.
        device: ``cpu`` hides GPUs from the workers; ``gpu`` refuses a cluster without; ``auto``: as it is.

    Raises:
        ClusterUnavailable: nothing answers at `address`, it refuses the token, or has no GPU where one is asked for.
        StartFailed: a cluster of this machine did not start.
    """
    env = {**NO_GPU_ENV, **(env or {})} if device == "cpu" else dict(env or {})
    for name, value in QUIET_ENV.items():
        os.environ.setdefault(name, value)
    # Ray replaces the process's SIGTERM handler; the command line's own one (exit code 143) has to stay.
    in_main_thread = threading.current_thread() is threading.main_thread()
    sigterm_handler = signal.getsignal(signal.SIGTERM) if in_main_thread else None
    token = None
    if address is None:
        token = _start(num_cpus, dashboard_port, env)
    else:
        _connect(address, packages, env)
    if in_main_thread:
        signal.signal(signal.SIGTERM, sigterm_handler)
    try:
        yield _describe(started_here=address is None, token=token, device=device)
    finally:
        ray.shutdown()


def _start(num_cpus: int | None, dashboard_port: int | None, env: Mapping[str, str]) -> Path | None:
    """Start a cluster on this machine; the file of its token, or None where the caller brought a token.

    Ray reads RAY_AUTH_MODE when it is imported and, where that is unset, switches tokens on for every cluster that
    `ray.init` starts; so only the token's place is set here, because Ray's own default file is readable by everyone.
    """
    token = None
    if not ({"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & (os.environ.keys() - _SET_HERE)):
        token = token_file()
        ensure_token(token)
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        _SET_HERE.add("RAY_AUTH_TOKEN_PATH")
    try:
        with _own_process_groups():
            ray.init(
                address="local",
                num_cpus=num_cpus,
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                dashboard_port=dashboard_port,
                object_store_memory=OBJECT_STORE_BYTES,
                runtime_env={"env_vars": dict(env)} if env else None,
                **_QUIET,
            )
    except Exception as error:  # Ray raises plain ones where a process of its own is not up in time
        ray.shutdown()
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise StartFailed(
            f"Ray did not start on this machine ({said[0][:300]}): it may be short of memory, disk or processors; see "
            f"the newest session's logs in {get_default_ray_temp_dir()}, and give the same command again"
        ) from error
    return token


def dead_process() -> str | None:
    """Which of the processes that a cluster can't do without has died, of one that this process started."""
    node = ray._private.worker._global_node
    dead: list[str] = [] if node is None else [kind for kind, _ in node.dead_processes()]
    return next((words for kind, words in _NEEDED.items() if kind in dead), None)


@contextmanager
def _own_process_groups() -> Iterator[None]:
    """In the block, Ray's processes get process groups of their own: a signal to the caller's whole group, as `timeout`
    and a terminal send it, ends the caller, who needs the cluster until its last checkpoint is written. They end with
    the caller all the same: Ray asks the kernel for that.
    """
    popen = services.ConsolePopen
    setattr(services, "ConsolePopen", partial(popen, process_group=0))  # noqa: B010  # it is typed as a class
    try:
        yield
    finally:
        setattr(services, "ConsolePopen", popen)  # noqa: B010


def _connect(address: str, packages: Sequence[str], env: Mapping[str, str]) -> None:
    """Connect to an existing cluster; inside a submitted Ray job the job's own runtime environment holds the code."""
    address = _check_reachable(address)
    token = _use_token(address)
    runtime_env: dict[str, Any] = {"env_vars": dict(env)} if env else {}
    if packages and "RAY_JOB_CONFIG_JSON_ENV_VAR" not in os.environ:
        runtime_env["py_modules"] = [_folder(package) for package in packages]
        runtime_env["excludes"] = ["__pycache__/", "*.pyc"]
    try:
        if address != "auto":
            GcsClient(address=address)  # where the token is another one it says so; `ray.init` says "failed to connect"
        ray.init(address=address, runtime_env=runtime_env or None, **_QUIET)
    except AuthenticationError as error:
        tried = f"refuses the token from {token.place}" if token else "asks for a token, and there is none"
        message = f"the Ray cluster at {address!r} {tried}: set RAY_AUTH_TOKEN_PATH to a file with its token"
        raise TokenRefused(message) from error
    except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = (
            f"can't join the Ray cluster at {address!r} ({first_line}): run on one of its nodes, or by `ray job submit`"
        )
        raise ClusterUnavailable(message) from error


def _describe(*, started_here: bool, token: Path | None, device: str) -> ClusterInfo:
    resources = ray.cluster_resources()
    dashboard = ray.get_runtime_context().worker.node.address_info.get("webui_url")
    return ClusterInfo(
        started_here=started_here,
        dashboard_url=f"http://{dashboard}" if dashboard else None,
        num_cpus=int(resources.get("CPU", 0)),
        num_gpus=int(resources.get("GPU", 0)),
        max_cpus=cpus_at_most(),
        max_gpus=gpus_at_most(),
        on_gpus=_on_gpus(device),
        token_file=token,
    )


def _on_gpus(device: str) -> bool:
    if device == "cpu":
        return False
    found = gpus_at_most() > 0
    if device == "gpu" and not found:
        raise ClusterUnavailable(
            "cluster.device=gpu: this cluster has no GPU, and nothing says that it may grow one: "
            "give the address of another, or leave cluster.device out to work on CPUs"
        )
    return found


def _check_reachable(address: str) -> str:
    """Fail in seconds where Ray itself would retry for a minute; returns the address with its port."""
    if address == "auto":
        return address
    if "://" in address:
        message = f"address {address!r}: give host:port of the head, on a node of the cluster; ray:// can't train"
        raise ClusterUnavailable(message)
    host, _, port = address.rpartition(":") if ":" in address else (address, "", str(DEFAULT_GCS_PORT))
    if not host or not port.isdigit():
        raise ClusterUnavailable(f"address {address!r} is not host:port, for example 10.0.0.5:{DEFAULT_GCS_PORT}")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        message = f"no Ray cluster answers at {address!r} ({error}): check the address, or leave --address out"
        raise ClusterUnavailable(message) from error
    return f"{host}:{port}"


def _use_token(address: str) -> Token | None:
    """Join with the token that is found where the cluster asks for one: Ray itself looks for none when it is given an
    address. With a token beside a cluster without, the driver would refuse the cluster's calls, and its actors would
    end before they begin.
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return None
    if "RAY_AUTH_MODE" not in os.environ and not _asks_for_token(address):
        return None
    try:
        token = find_token()
    except Refused as error:
        raise ClusterUnavailable(str(error)) from error
    if token is None and "RAY_AUTH_MODE" in os.environ:  # Ray would end the whole process
        message = "RAY_AUTH_MODE=token asks for a token, and there is none: set RAY_AUTH_TOKEN_PATH to a file with it"
        raise TokenRefused(message)
    if token is not None and "RAY_AUTH_MODE" not in os.environ:
        if token.place == str(token_file()):
            os.environ["RAY_AUTH_TOKEN_PATH"] = token.place
            _SET_HERE.add("RAY_AUTH_TOKEN_PATH")
        _enable_token_auth()
    return token


def _asks_for_token(address: str) -> bool:
    """Whether the cluster refuses those who bring none; false too where nothing answers, which `ray.init` says."""
    try:
        GcsClient(address=canonicalize_bootstrap_address_or_die(address))
    except AuthenticationError:
        return True
    except (ConnectionError, RpcError):
        return False
    return False


def _folder(package: str) -> str:
    try:
        return str(package_folder(package))
    except Refused as error:
        raise ClusterUnavailable(str(error)) from error
