"""A person who pastes the blocks of docs/cluster.md into one shell; AWS is a local API, and its machines are hosts.

What a reader brings is made here: values in the tfvars, a toy backbone, data, benchmarks, images in the registry. What
differs from AWS is made here too, all of it below: Docker, GPUs, MLflow's server, the plugin of Session Manager.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import yaml
from cloud_hosts import API_PORT, Cloud
from lab_services import Services
from network_hosts import NETWORK
from page_blocks import Block, blocks_of
from suite_toys import write_suite
from terraform_tools import copy_of_configuration, plugin_folder
from workplace import ROOT, Workplace

PAGE = ROOT / "docs" / "cluster.md"
HOST_NAME, SUITE, NUM_STEPS = "mlflow.ml.example.com", "mm_rlhf_rewardbench", 10
# Added to a command that begins so: hosts have no Docker, and little of what the doctor wants by itself.
ADDED = {
    "basereward cluster render": "image=none idle_minutes=1 ssh_key=$HOME/.ssh/basereward.pem",
    "basereward plan": "train.global_batch=128",
    "basereward cluster doctor": "disk_gb=0 object_store_gb=0",
}
TFVARS = """
environment = "prod"
protect     = true
network     = { vpc_cidr = "%(network)s.0/16" }
key_name    = "basereward"
ami         = { user = "root" }
head        = { instance_type = "m5.large", price_per_hour = 0.096 }
alarms      = { monthly_budget = 1000 }
mlflow      = { host_name = "%(host_name)s", certificate_arn = "%(certificate)s", image_tag = "3.17.2-1" }
worker_groups = {
  t4 = {
    instance_type = "g4dn.xlarge", gpu_type = "T4", gpus_per_node = 1,
    max_nodes = 2, price_per_hour = 0.5, cache = "none"
  }
  cpu = { instance_type = "m5.large", gpus_per_node = 0, max_nodes = 1, price_per_hour = 0.1, cache = "none" }
}
"""
END = "::the block has ended::"
EXITED = "::the shell has ended::"
"""What runs in the background may hold the shell's output open after its end."""


class PageLab:
    """The shell, its cloud, and the page's blocks.

    Args:
        folder: below which everything lies; not below /tmp, which is another one on each host.
        python_of_api: an interpreter with Moto.
    """

    def __init__(self, folder: Path, python_of_api: Path) -> None:
        self.folder = folder
        self.blocks = blocks_of(PAGE.read_text(encoding="utf-8"))
        self.cloud = Cloud(folder, python_of_api)
        self.home, self.place = folder / "home", folder / "repository"
        self._services: Services | None = None
        self._shell: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.home.mkdir()
        copy_of_configuration(self.place / "infra" / "terraform")
        self._bring_data()
        self.cloud.key = self.home / ".ssh" / "basereward.pem"
        self.cloud.open(bare=True)
        try:
            self._write_values()
            self._shell = self.cloud.start(["bash", "--norc", "-eo", "pipefail"], **self._environment())
            self._say(f"trap \"echo '{EXITED}'\" EXIT; cd {self.place}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._services is not None:
            self._services.close()
        self.cloud.close()
        if self._shell is not None:
            self._shell.communicate(timeout=20)  # ended with its host

    def block(self, beginning: str) -> Block:
        """The one with a line that begins so."""
        [found] = [one for one in self.blocks if any(line.startswith(beginning) for line in one.text.splitlines())]
        return found

    def paste(self, block: Block) -> str:
        """What the shell printed; no command may fail."""
        lines = []
        for line in block.run.splitlines():
            more = next((words for start, words in ADDED.items() if line.startswith(start)), None)
            command, mark, comment = line.partition("  #")
            lines.append(line if more is None else f"{command} {more}{mark}{comment}")
        return self._say("\n".join(lines))

    def missing(self, *words: str) -> list[str]:
        """The steps that the doctor names now."""
        return re.findall(r"missing: ([^:]*):", self._doctor(*words))

    def ask_for_quotas(self) -> None:
        """By the commands that the doctor says."""
        cures = re.findall(r"cure: (aws service-quotas [^;]*);", self._doctor())
        self._say("\n".join(cures))

    def _doctor(self, *words: str) -> str:
        return self._say(f"basereward cluster doctor --from-terraform outputs.json {' '.join(words)} || true")

    def key_is_there(self) -> None:
        """The public half, as AWS gives it to the machines that boot."""
        public = subprocess.run(["ssh-keygen", "-y", "-f", str(self.cloud.key)], check=True, capture_output=True)
        Path(f"{self.cloud.key}.pub").write_bytes(public.stdout)

    def push(self, image: str) -> None:
        """An image into the registry, as `docker push` would."""
        manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"})
        name, _, tag = image.partition(":")
        place = f"--repository-name basereward-prod/{name} --image-tag {tag}"
        self._say(f"aws ecr put-image {place} --image-manifest '{manifest}' > /dev/null")

    def mlflow_starts(self) -> None:
        """As the container service would: with the secrets and the bucket that Terraform made; outputs say where."""
        outputs = self.place / "outputs.json"
        told = json.loads(outputs.read_text())
        secret = told["mlflow"]["value"]["admin_secret_arn"]
        answer = self._say(
            f"aws secretsmanager get-secret-value --secret-id {secret} --query SecretString --output text"
        )
        login = json.loads(answer)
        artifacts = f"s3://{told['buckets']['value']['artifacts']}/mlflow"
        self._services = Services(
            self.cloud.hosts, self.folder, s3=(f"http://{NETWORK}.10:{API_PORT}", artifacts),
            login=(login["username"], login["password"]),
        )  # fmt: skip
        told["mlflow"]["value"]["tracking_uri"] = self._services.mlflow
        outputs.write_text(json.dumps(told))

    def recipe_is_small(self) -> None:
        """The page's recipe with toy sizes; hosts without GPUs play those with."""
        path = self.place / "mine.yaml"
        recipe = yaml.safe_load(path.read_text())
        small = yaml.safe_load(self._toy.recipe.read_text())
        recipe["data_root"] += "/mine"
        recipe["preprocess"] |= small["preprocess"]
        recipe["train"] |= small["train"] | {
            "num_workers": 2, "max_steps": NUM_STEPS, "cache_dir": "/tmp/cache",
            "group": {"accelerator": "T4", "watch_s": 1.0},
        }  # fmt: skip
        recipe["evaluate"] |= {"suites": [SUITE], "missing_pictures": "without"}
        recipe["cluster"]["device"] = "cpu"
        path.write_text(yaml.safe_dump(recipe))

    def wait_until_nothing_runs(self) -> None:
        """Machines end a moment after they are told to."""
        deadline_s = time.monotonic() + 300
        while self.cloud.running():
            assert time.monotonic() < deadline_s, self.cloud.instances()
            time.sleep(1)

    def _bring_data(self) -> None:
        self._toy = Workplace(self.folder / "toy")
        self._toy.run("init-model")
        shutil.move(self._toy.folder / "model", self.place / "Qwen2.5-VL-7B-Instruct")
        shutil.move(self._toy.folder / "raw", self.place / "my-set")
        write_suite(self.place / "my-benchmarks", SUITE)

    def _write_values(self) -> None:
        asked = ["aws", "acm", "request-certificate", "--domain-name", HOST_NAME, "--output", "text"]
        printed, _ = self.cloud.start(asked, PATH=self._environment()["PATH"]).communicate(timeout=60)
        values = TFVARS % {"network": NETWORK, "host_name": HOST_NAME, "certificate": printed.strip()}
        infra = self.place / "infra" / "terraform"
        (infra / "environments" / "prod.tfvars").write_text(values)
        # A local API has no name of its own for each bucket, and what fails there once fails again.
        with open(infra / "environments" / "prod.s3.tfbackend", "a", encoding="utf-8") as file:
            file.write("use_path_style = true\n")
        for part in (infra, infra / "bootstrap"):
            (part / "quicker_override.tf").write_text('provider "aws" {\n  max_retries = 2\n}\n')

    def _environment(self) -> dict[str, str]:
        """Of the shell: what a reader has installed, and answers that Terraform asks for."""
        tools = self.folder / "tools"
        if not tools.is_dir():
            tools.mkdir()
            aws, stand_in = shutil.which("aws"), Path(__file__).with_name("session_manager.py")
            for name, text in {
                "basereward": f'exec {sys.executable} -m jobs "$@"',
                "aws": f'[ "$1" != ssm ] || exec {sys.executable} {stand_in} {aws} "$@"\nexec {aws} "$@"',
            }.items():
                (tools / name).write_text(f"#!/bin/sh\n{text}\n")
                (tools / name).chmod(0o755)
        yes = "-auto-approve -input=false -no-color -parallelism=20"
        return {
            "HOME": str(self.home),
            "PATH": f"{tools}:{Path(sys.executable).parent}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_CONFIG_FILE": "/dev/null",
            "TF_CLI_ARGS_init": f"-input=false -no-color -plugin-dir={plugin_folder()}",
            "TF_CLI_ARGS_apply": yes,
            "TF_CLI_ARGS_destroy": yes,
            "COLUMNS": "200",
        }

    def _say(self, commands: str) -> str:
        """Run them in the shell, which ends where one fails."""
        file = self.folder / "block.sh"
        file.write_text(commands + "\n")
        assert self._shell is not None and self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(f". {file} < /dev/null\necho '{END}'\n")  # ssh would read on
        self._shell.stdin.flush()
        printed: list[str] = []
        for line in self._shell.stdout:
            if line.strip() == END:
                return "".join(printed)
            if line.strip() == EXITED:
                break
            printed.append(line)
        raise AssertionError(f"{commands}\nended the shell:\n{''.join(printed)[-6000:]}")
