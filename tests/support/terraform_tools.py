"""Terraform for tests: a copy of `infra/terraform` in a folder of its own, and an AWS API on this machine.

Nothing is fetched while Terraform runs: its AWS provider comes from `TF_PLUGIN_DIR`, a folder as `terraform providers
mirror` makes it, or is looked for in the usual places. Moto and checkov have environments of their own below
`.venv-terraform/`, made when they are first needed: their boto3 is not the one that s3fs pins.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3_server import free_ports

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "infra" / "terraform"
PINS = ROOT / "tests" / "terraform"
_MIRRORS = ("/usr/share/terraform/plugins", "/usr/local/share/terraform/plugins", "~/.terraform.d/plugins", "/opt")
_START_S, _INSTALL_S = 60, 400


def plugin_folder() -> Path | None:
    """The folder above `registry.terraform.io/` that has the AWS provider."""
    named = os.environ.get("TF_PLUGIN_DIR")
    places = [Path(named)] if named else [Path(place).expanduser() for place in _MIRRORS]
    for place in places:
        for folder in (place, *sorted(place.glob("*/"))):
            if any(folder.glob("registry.terraform.io/hashicorp/aws/5.*/*/terraform-provider-aws*")):
                return folder
    return None


def why_not() -> str | None:
    """Why nothing of Terraform can be tried here, or None."""
    if shutil.which("terraform") is None:
        return "no terraform on PATH (1.11 or newer)"
    if plugin_folder() is None:
        return "no AWS provider 5.x: set TF_PLUGIN_DIR to a folder made by `terraform providers mirror`"
    return None


@dataclass(frozen=True)
class Terraform:
    """A folder with a configuration, and how to call Terraform in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, code: int | None = 0, limit_s: float = 500) -> str:
        """What it printed; it must end with exit code `code`, None for any."""
        process = subprocess.run(
            ["terraform", *arguments], cwd=self.folder, env=self._environment(), timeout=limit_s,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if code is not None:
            told = f"terraform {' '.join(arguments)}: {process.returncode}\n{process.stdout}"
            assert process.returncode == code, told
        return process.stdout

    def prepare(self, *options: str) -> None:
        """`init` with the provider that is here."""
        self.call("init", "-no-color", "-input=false", f"-plugin-dir={plugin_folder()}", *options)

    def _environment(self) -> dict[str, str]:
        """Nothing of the machine's own AWS account, and no call home."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            **self.environment,
        }


def copy_of_configuration(folder: Path, part: str = ".") -> Path:
    """The configuration, or one folder of it, in a new folder."""
    left_out = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    return Path(shutil.copytree(SOURCE / part, folder, ignore=left_out))


def python_with(tool: str) -> Path | str:
    """The Python of an environment with `tests/terraform/requirements-TOOL.txt`, made at need; or why there is none."""
    pins = (PINS / f"requirements-{tool}.txt").read_text(encoding="utf-8")
    folder = ROOT / ".venv-terraform" / tool
    stamp = folder / "installed.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != pins:
        install = (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin" / "pip"), "install", "--quiet", "-r", str(PINS / f"requirements-{tool}.txt")],
        )
        for command in install:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
            if done.returncode:
                return f"no {tool}: {' '.join(command)} failed: {done.stderr.strip()[-300:]}"
        stamp.write_text(pins, encoding="utf-8")
    return folder / "bin" / "python"


@dataclass(frozen=True)
class AwsApi:
    """A running server, and how to speak to it. Keys are taken as they come until `enforce`."""

    endpoint: str
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What sends Terraform there; the configuration knows nothing of it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self, service: str, keys: dict[str, str] | None = None, *, plain_http: bool = False) -> Any:
        """A client with temporary `keys` of a role, or with those that may everything."""
        from botocore.session import Session

        keys = keys or {"AccessKeyId": "testing", "SecretAccessKey": "testing"}
        client = Session().create_client(
            service, region_name="us-east-1", endpoint_url=self.endpoint, aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"], aws_session_token=keys.get("SessionToken"),
        )  # fmt: skip
        if plain_http:
            add = lambda request, **_: request.headers.add_header("X-Forwarded-Proto", "http")  # noqa: E731
            client.meta.events.register("before-sign.*.*", add)
        return client

    def enforce(self, *, on: bool = True) -> None:
        """From now on every call needs a right, or none does."""
        body = b"0" if on else b"inf"
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.endpoint}/moto-api/reset-auth", data=body, headers=plain)
        urllib.request.urlopen(request, timeout=60).close()

    def missing_calls(self) -> list[str]:
        """Calls that the server does not know."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if "aws_api: missing" in line]


@contextmanager
def aws_api(python: Path, folder: Path) -> Iterator[AwsApi]:
    """The server, up and answering, with its log in `folder`."""
    port = free_ports(1)[0]
    api = AwsApi(f"http://127.0.0.1:{port}", folder / "aws_api.log")
    command = [str(python), str(ROOT / "tests" / "support" / "aws_api"), "-H", "127.0.0.1", "-p", str(port)]
    with open(api.log, "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(api, process)
        yield api
    finally:
        process.kill()
        process.wait(timeout=20)


def _wait(api: AwsApi, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{api.endpoint}/moto-api/", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the AWS API did not start: {api.log.read_text(errors='replace')[-2000:]}")


def resources_of(root_module: dict[str, Any]) -> list[dict[str, Any]]:
    """All resources of a state or a plan, of all modules."""
    found: list[dict[str, Any]] = []
    modules = [root_module]
    while modules:
        module = modules.pop()
        found += module.get("resources", [])
        modules += module.get("child_modules", [])
    return found


def events_of(output: str) -> list[dict[str, Any]]:
    """The lines of `terraform ... -json`."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
