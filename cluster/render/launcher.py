"""Ray's own launcher: `ray up`, `ray down` and where the head is, for a rendered file."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import yaml

from cluster.errors import LauncherFailed, Refused
from cluster.render.ray_up import TUNNEL

__all__ = ["bring_up", "head_address", "take_down", "tunnel_of"]


def bring_up(file: str) -> None:
    """Start the head of `file`, or update it; prints what Ray's launcher prints.

    Raises:
        Refused: there is no such file, or boto3 is missing.
        LauncherFailed: it ended with an error.
    """
    _run(file, "up", "--yes", "--no-config-cache")


def take_down(file: str) -> None:
    """End all instances of `file`.

    Raises:
        Refused: there is no such file, or boto3 is missing.
        LauncherFailed: it ended with an error.
    """
    _run(file, "down", "--yes")


def head_address(file: str) -> str:
    """The head's address inside its network."""
    _check(file)
    done = subprocess.run([_ray(), "get-head-ip", file], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        raise LauncherFailed(f"no head is running for {file}: {done.stderr.strip().splitlines()[-1:] or 'none found'}")
    return done.stdout.strip().splitlines()[-1]


def tunnel_of(file: str) -> Path | None:
    """The script beside `file` that leads to its head; None: this machine reaches the head's address.

    Raises:
        Refused: the script is missing.
    """
    if "ssh_proxy_command" not in yaml.safe_load(Path(file).read_text(encoding="utf-8"))["auth"]:
        return None
    script = Path(file).with_name(TUNNEL)
    if not script.is_file():
        raise Refused(f"no {script}: basereward cluster render writes it beside {file}")
    return script


def _run(file: str, *arguments: str) -> None:
    _check(file)
    done = subprocess.run([_ray(), *arguments, file], check=False)
    if done.returncode:
        raise LauncherFailed(f"ray {arguments[0]} {file} ended with exit code {done.returncode}: see its lines above")


def _check(file: str) -> None:
    if not Path(file).is_file():
        raise Refused(
            f"no file at {file!r}: write it by basereward cluster render ray-up --from-terraform outputs.json"
        )
    if find_spec("boto3") is None:
        raise Refused("Ray's launcher needs boto3 for EC2: pip install 'basereward[aws]'")


def _ray() -> str:
    return str(Path(sys.executable).with_name("ray"))
