"""EC2 instances on one machine: a local AWS API keeps the records, and each instance is a network host with an sshd.

A host has its own home, /tmp, shared memory, host name and process ids, so that `ray stop` ends its own node only.
Needs root, `ip`, `sshd`, `rsync`, and the AWS API of `tests/support/aws_api`.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import network_hosts
from network_hosts import NETWORK, PATIENCE_S, Host, NetworkHosts
from workplace import ROOT

API_PORT = 5000
AWS_API = ROOT / "tests" / "support" / "aws_api"
SUBNET = f"{NETWORK}.128/25"
IMAGE = "ami-0dbdd5d997734a735"  # one that the AWS API knows

# Asks the AWS API for its instances, once a line that it is told.
LIST = """
import json, sys
from botocore.session import Session
ec2 = Session().create_client("ec2")
for _ in sys.stdin:
    found = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    kept = [[one["InstanceId"], one["State"]["Name"], one.get("PrivateIpAddress")] for one in found]
    print(json.dumps(kept), flush=True)
"""

# Ends the instances that it is told.
END = """
import sys
from botocore.session import Session
Session().create_client("ec2").terminate_instances(InstanceIds=sys.argv[1:])
"""

# Makes what Terraform would have made, as far as Ray's launcher needs it.
MAKE = """
import json, sys
from botocore.session import Session
key, subnet_range, image = sys.argv[1:]
session = Session()
ec2, iam = session.create_client("ec2"), session.create_client("iam")
vpc = ec2.create_vpc(CidrBlock=subnet_range.rsplit(".", 1)[0] + ".0/24")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=subnet_range, AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
group = ec2.create_security_group(GroupName="cluster", Description="x", VpcId=vpc)["GroupId"]
ec2.import_key_pair(KeyName="team", PublicKeyMaterial=open(key, "rb").read())
profile = iam.create_instance_profile(InstanceProfileName="node")["InstanceProfile"]["Arn"]
def template(name, kind):
    data = {"ImageId": image, "InstanceType": kind, "KeyName": "team", "MetadataOptions": {"HttpTokens": "required"}}
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    return {"id": made["LaunchTemplateId"], "name": name, "version": "1"}
print(json.dumps({"subnet": subnet, "group": group, "profile": profile, "head": template("head", "m6i.2xlarge"),
                  "worker": template("worker", "g5.12xlarge")}))
"""


def why_not() -> str | None:
    """Why there can be no such hosts here; None where there can."""
    if reason := network_hosts.why_not():
        return reason
    missing = [name for name in ("sshd", "ssh", "ssh-keygen", "rsync", "unshare") if _which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here"
    if find_spec("terraform_tools") is None or not AWS_API.is_dir():
        return "no local AWS API: tests/support/aws_api is not here"
    return None


class Cloud:
    """A local AWS API, the machine of a person, and a host for each instance that is asked for."""

    def __init__(self, folder: Path, python_of_api: Path) -> None:
        self.folder = folder
        # /root and /tmp are other ones on each host, and the tests' own Python may lie below /root.
        self._env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT),
            "AWS_ENDPOINT_URL": f"http://{NETWORK}.10:{API_PORT}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AUTOSCALER_UPDATE_INTERVAL_S": "2",
            "RAY_DEFAULT_OBJECT_STORE_MEMORY_PROPORTION": "0.01",
            "RAY_UP_enable_autoscaler_v2": "1",
        }
        self.hosts = NetworkHosts(str(folder), self._env)
        self._python_of_api = python_of_api
        self.key = folder / "key"
        self.made: dict[str, Any] = {}
        self._api: subprocess.Popen[bytes] | None = None
        self._machines: dict[str, tuple[Host, subprocess.Popen[bytes]]] = {}
        self._asking = threading.Lock()
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    def open(self, *, bare: bool = False) -> None:
        """Start the API, make what Terraform would have made unless it is `bare`, and look after instances from now on.

        Where it is bare, `key` and its public half have to be there before the first instance boots.
        """
        self._api_host, self.person = self.hosts.add(), self.hosts.add()
        command = [str(self._python_of_api), str(AWS_API), "-H", self._api_host.address, "-p", str(API_PORT)]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with open(self.folder / "aws_api.log", "wb") as log:
            self._api = subprocess.Popen(
                self._api_host.command(*command), env=env, cwd=self.folder, stdout=log, stderr=log
            )
        self._wait_for(self._api)
        if not bare:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
            self.made = self._make()
        self._lister = self.start([sys.executable, "-c", LIST])
        self._keeper.start()

    def tell(self, env: Mapping[str, str]) -> None:
        """More of the environment of the person and of instances that boot from now on."""
        self._env |= env

    def start(self, command: list[str], **env: str) -> subprocess.Popen[str]:
        """A command on the person's machine."""
        return self.hosts.start(self.person, command, {**self._env, "HOME": str(self.folder), **env})

    def code_of(self, command: list[str], **env: str) -> int:
        """The exit code of a command on the person's machine."""
        process = self.start(command, **env)
        process.communicate(timeout=PATIENCE_S)
        return process.returncode

    def instances(self) -> dict[str, tuple[str, str]]:
        """State and address of each instance that there was."""
        with self._asking:
            assert self._lister.stdin is not None and self._lister.stdout is not None
            self._lister.stdin.write("\n")
            self._lister.stdin.flush()
            return {one: (state, address) for one, state, address in json.loads(self._lister.stdout.readline())}

    def running(self) -> list[str]:
        """Addresses of the instances that cost money."""
        return [address for state, address in self.instances().values() if state in {"pending", "running"}]

    def host(self, address: str) -> Host:
        """The machine of the running instance with this address."""
        return next(host for host, _ in self._machines.values() if host.address == address)

    def lose(self, address: str) -> None:
        """The instance is gone at once, as when its machine breaks: nothing on it can say so."""
        self.hosts.lose(self.host(address))
        [name] = [one for one, (state, at) in self.instances().items() if at == address and state == "running"]
        assert self.code_of([sys.executable, "-c", END, name]) == 0

    def kill_on(self, address: str, name: str) -> None:
        """SIGKILL for the processes of this name on the instance with this address."""
        host = self.host(address)
        found = [process for process in host.processes() if process.name() == name]
        assert found, f"no {name} on {address}"
        for process in found:
            process.kill()

    def close(self) -> None:
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join(timeout=30)
            self._lister.communicate(timeout=30)
        for _, machine in self._machines.values():
            machine.kill()
            machine.wait(timeout=20)
        self.hosts.close()
        if self._api is not None:
            self._api.wait(timeout=20)

    def _keep(self) -> None:
        """What a cloud does: a machine for each instance, and none for one that is terminated."""
        while not self._over.wait(0.5):
            found = self.instances()
            for name, (state, address) in found.items():
                if state in {"pending", "running"} and name not in self._machines:
                    self._machines[name] = self._boot(name, address)
                elif state not in {"pending", "running"} and name in self._machines:
                    host, machine = self._machines.pop(name)
                    machine.kill()
                    host.kill()
                    machine.wait(timeout=20)

    def _boot(self, name: str, address: str) -> tuple[Host, subprocess.Popen[bytes]]:
        host, folder = self.hosts.add(address), self.folder / name
        with open(f"/etc/netns/{host.name}/hosts", "a") as file:  # as a cloud's own DNS knows it
            file.write(f"{address} {name}\n")
        (folder / "root" / ".ssh").mkdir(parents=True, mode=0o700)
        (folder / "tmp").mkdir(mode=0o777)
        shutil.copy(f"{self.key}.pub", folder / "root" / ".ssh" / "authorized_keys")
        exports = "\n".join(f"export {key}='{value}'" for key, value in self._env.items())
        for file in (".bashrc", ".profile"):
            (folder / "root" / file).write_text(f"{exports}\nexport HOME=/root\n")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "hostkey")], check=True)
        python = Path(sys.base_prefix)
        steps = [f"hostname {name}"]
        if python.is_relative_to("/root"):
            inside = folder / python.relative_to("/")
            inside.mkdir(parents=True)
            steps.append(f"mount --bind {python} {inside}")
        options = [f"ListenAddress={address}", f"HostKey={folder}/hostkey", "PidFile=none", "UsePAM=no", "UseDNS=no"]
        options += ["PermitRootLogin=yes", "StrictModes=no", "MaxStartups=50"]
        steps += [
            f"mount --rbind {folder}/root /root",
            "mount -t tmpfs tmpfs /dev/shm",
            "mount -t proc proc /proc",
            f"mount --bind {folder}/tmp /tmp",
            "mkdir -p /run/sshd",
            f"exec {_which('sshd')} -D -e {' '.join(f'-o {one}' for one in options)}",
        ]
        command = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "sh", "-ec", "; ".join(steps)]
        with open(folder / "sshd.log", "wb") as log:
            machine = subprocess.Popen(host.command(*command), stdout=log, stderr=log)
        return host, machine

    def _wait_for(self, api: subprocess.Popen[bytes]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        url = f"{self._env['AWS_ENDPOINT_URL']}/moto-api/"
        while self.code_of(["curl", "-s", "-o", "/dev/null", url]) != 0:
            assert api.poll() is None and time.monotonic() < deadline_s, (self.folder / "aws_api.log").read_text()
            time.sleep(0.2)

    def _make(self) -> dict[str, Any]:
        made = self.start([sys.executable, "-c", MAKE, f"{self.key}.pub", SUBNET, IMAGE])
        printed, _ = made.communicate(timeout=PATIENCE_S)
        assert made.returncode == 0, printed
        parsed: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return parsed


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
