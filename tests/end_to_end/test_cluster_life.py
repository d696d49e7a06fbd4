"""The whole life of a rendered cluster: up, a job that makes it grow, idle machines given back, down.

EC2 is a local AWS API, instances are hosts of their own with an sshd; Ray's launcher and autoscaler are the real ones.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_hosts import Cloud, why_not
from terraform_outputs import outputs, write_outputs

from cluster.auth import ensure_token

pytestmark = pytest.mark.drill

PATIENCE_S = 400

# Waits to be ended, the first time; or wants so many nodes with four GPUs each, and says where it was.
JOB = """
import os, sys, time
import ray
if sys.argv[1] == "hold":
    if not os.path.exists(sys.argv[2]):
        open(sys.argv[2], "w").close()
        time.sleep(600)
    sys.exit(print("goes on", flush=True))
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Placed
ray.init(address="auto", logging_level="ERROR")
count = int(sys.argv[1])
group = placement_group([{"GPU": 4}] * count, strategy="STRICT_SPREAD")
ray.get(group.ready())
where = ray.remote(num_cpus=0, num_gpus=4)(ray.util.get_node_ip_address)
placed = [where.options(scheduling_strategy=Placed(group, place)).remote() for place in range(count)]
print("ran on", *ray.get(placed), flush=True)
"""

SEND = """
import sys
from pathlib import Path
from cluster.package import pack
from cluster.submission import Submission, new_id
from jobs.following import follow_to_its_end
from jobs.sending import send
code = pack(["cluster"], {"job.py": Path("job.py").read_text()}, Path("packages"))
how, *words = sys.argv[1:]
one = Submission(id=new_id("job", words), words=("job", *words), package=str(code.file))
send(one, None)
sys.exit(follow_to_its_end(one, None, retries=1) if how == "wait" else 0)
"""


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    if reason := why_not():
        pytest.skip(reason)
    import terraform_tools

    python = terraform_tools.python_with("moto")
    if isinstance(python, str):
        pytest.skip(python)
    # Not below /tmp, which is another one on each host.
    with tempfile.TemporaryDirectory(prefix="cloud-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        made = Cloud(Path(folder), python)
        try:
            made.open()
            yield made
        finally:
            made.close()


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, printed
    return printed


def wait_until(found: Callable[[], bool], told: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline_s, told()
        time.sleep(1)


def outputs_of(cloud: Cloud) -> dict[str, Any]:
    """What Terraform would say of what there is."""
    made, values = cloud.made, outputs()
    common = {"instance_profile_arn": made["profile"], "subnet_id": made["subnet"]}
    group = values["worker_groups"]["a10g"] | common | {"max_nodes": 2}
    group["launch_templates"] = [made["worker"] | {"purchase": "on_demand", "price_per_hour": 5.672}]
    return {
        "network": {"zone": "us-east-1a", "subnet_id": made["subnet"], "security_group_id": made["group"]},
        "ssh": {"user": "root", "key_name": "team"},
        "head": values["head"] | common | {"launch_template": made["head"]},
        "worker_groups": {"a10g": group},
    }


def test_a_cluster_lives_and_leaves_nothing(cloud: Cloud) -> None:
    token = cloud.folder / "keys" / "token"
    ensure_token(token)
    (cloud.folder / "job.py").write_text(JOB)
    path = write_outputs(cloud.folder / "outputs.json", **outputs_of(cloud))
    env = {"RAY_AUTH_TOKEN_PATH": str(token)}

    def cli(*words: str, code: int = 0) -> str:
        return ended(cloud.start([sys.executable, "-m", "jobs", *words], **env), code)

    def send(*words: str) -> str:
        return ended(cloud.start([sys.executable, "-c", SEND, *words], **env))

    settings = (
        "image=none",
        f"ssh_key={cloud.key}",
        f"token={token}",
        "idle_minutes=1",
        f"output={cloud.folder}/files",
    )
    cli("cluster", "render", "ray-up", "--from-terraform", path, *settings)
    file = f"{cloud.folder}/files/ray-up.yaml"
    printed = cli("cluster", "up", file)
    assert token.read_text() not in printed
    [head] = cloud.running()
    assert f"the head is {head}" in printed
    env["RAY_API_SERVER_ADDRESS"] = f"http://{head}:8265"
    listing = [sys.executable, "-m", "jobs", "jobs", "list"]
    wait_until(lambda: cloud.code_of(listing, **env) == 0, lambda: printed)

    printed = send("wait", "2")
    found = re.search(r"ran on (\S+) (\S+)", printed)
    assert found and {*found.groups(), head} == set(cloud.running()), printed
    assert "3 of 3 nodes alive" in cli("cluster", "status")

    wait_until(lambda: cloud.running() == [head], lambda: (cloud.instances(), cli("cluster", "status")))

    [job] = re.findall(r"submitted (\S+) to", send("go", "3"))
    time.sleep(15)
    assert cloud.running() == [head]  # three nodes where there may be two: none is bought
    assert "RUNNING" in cli("jobs", "status", job)
    cli("jobs", "stop", job)

    mark = cloud.folder / "mark"
    process = cloud.start([sys.executable, "-c", SEND, "wait", "hold", str(mark)], **env)
    wait_until(mark.exists, lambda: process.poll())
    cloud.kill_on(head, "gcs_server")  # the head is gone, and its supervisor starts another
    printed = ended(process)
    assert "asking again" in printed and "knows nothing of it" in printed and "goes on" in printed
    assert cloud.running() == [head]

    cli("cluster", "down", file)
    wait_until(lambda: cloud.running() == [], cloud.instances)
