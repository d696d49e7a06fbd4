"""The whole life of a rendered cluster: up, data and trainings that make it grow, faults, idle hosts given back, down.

EC2 is a local AWS API, instances are hosts of their own with an sshd; Ray's launcher and autoscaler, the S3 server,
PostgreSQL and MLflow's server are the real ones. The tests are one story: each goes on where the one before ended.
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cloud_hosts import why_not
from cluster_lab import NUM_STEPS, Lab, ended
from postgres_server import postgres_programs

pytestmark = pytest.mark.drill

# A job that says whether a command of ours would take GPUs, and wants so many nodes with four of them each.
WIDE = """
import sys
from pathlib import Path
from cluster.package import pack
from cluster.submission.job import Submission, new_id
from jobs.submit.send_and_follow import send
job = '''
import sys
import ray
from ray.util.placement_group import placement_group
from cluster.session import ray_session
with ray_session("auto") as cluster:
    print("GPUs now", cluster.num_gpus, "on GPUs", cluster.on_gpus, flush=True)
    ray.get(placement_group([{"GPU": 4}] * int(sys.argv[1]), strategy="STRICT_SPREAD").ready())
'''
code = pack(["cluster"], {"job.py": job}, Path("packages"))
send(Submission(id=new_id("job", sys.argv[1:]), words=("job", *sys.argv[1:]), package=str(code.file)), None)
"""

JOIN = """
import sys
import ray
ray.init(sys.argv[1], logging_level="ERROR")
print("joined", len(ray.nodes()))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if reason := why_not():
        pytest.skip(reason)
    if postgres_programs() is None:
        pytest.skip("no PostgreSQL here")
    import terraform_tools

    python = terraform_tools.python_with("moto")
    if isinstance(python, str):
        pytest.skip(python)
    # Not below /tmp, which is another one on each host.
    place = tempfile.TemporaryDirectory(prefix="cloud-", dir="/var/tmp", ignore_cleanup_errors=True)
    with place as folder, Lab(Path(folder), python) as one:
        yield one


@pytest.fixture(scope="module")
def head(lab: Lab) -> str:
    return lab.up(idle_minutes=1)


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, head: str) -> dict[str, Any]:
    """Model, data and a first training; what MLflow knows of it."""
    assert lab.cloud.running() == [head]
    lab.cli("submit", "--wait", "init-model", str(lab.recipe))
    prepared = lab.cli("submit", "--wait", "preprocess", str(lab.recipe))
    assert "kept: 22 heldout, 98 train" in prepared
    assert "units at once: the cluster has 0 CPUs, and may grow to" in prepared
    assert f"train steps: {NUM_STEPS} of {NUM_STEPS}" in lab.cli("submit", "--wait", "train", str(lab.recipe))
    return lab.run_of(f"{lab.services.bucket}/run/train")


def test_data_and_a_training_make_the_cluster_grow(lab: Lab, head: str, undisturbed: dict[str, Any]) -> None:
    # Those that were idle for a minute are given back, on a slow machine before anybody looks.
    assert len(lab.cloud.instances()) >= 3
    [known] = re.findall(r"\b\d of (\d+) nodes alive", lab.cli("cluster", "status"))
    assert int(known) >= 3
    assert undisturbed["state"] == "FINISHED" and undisturbed["runs"] == 1
    assert [step for step, _ in undisturbed["points"]["train/loss"]] == list(range(1, NUM_STEPS + 1))


def test_its_log_is_there_for_those_who_come_later(lab: Lab, head: str, undisturbed: dict[str, Any]) -> None:
    [job] = re.findall(r"^(?:│ )?\s*(train-\S+)", lab.cli("jobs", "list"), re.MULTILINE)[:1]
    assert undisturbed["points"] and "Trained lab" in lab.cli("jobs", "logs", "-f", job)


def test_a_training_lives_through_a_lost_host_a_cut_link_and_another_head(
    lab: Lab, head: str, undisturbed: dict[str, Any]
) -> None:
    output = f"{lab.services.bucket}/run/disturbed"
    process = lab.start("submit", "--wait", "train", str(lab.recipe), f"train.output={output}")
    watch = lab.watch(output)

    def until(step: int) -> None:
        lab.wait_until(lambda: watch.newest() >= step, f"no checkpoint of step {step}", process)

    until(10)
    lost = lab.workers(head)[0]
    lab.cloud.lose(lost)
    until(30)
    assert lost not in lab.workers(head) and len(lab.workers(head)) == 2
    cut = lab.cloud.host(lab.workers(head)[0])
    lab.cloud.hosts.cut(cut)
    time.sleep(30)
    lab.cloud.hosts.mend(cut)
    until(50)
    lab.cloud.kill_on(head, "gcs_server")  # the head is gone, and its supervisor starts another
    printed = ended(process)
    watch.close()
    assert lost in printed and "train.group.max_lost_workers" in printed
    assert "knows nothing of it" in printed
    assert len(re.findall(r"^submitted (train-\S+) to", printed, re.MULTILINE)) == 2
    found = lab.run_of(output)
    assert found["points"] == undisturbed["points"]  # bit for bit, no step twice
    assert found["state"] == "FINISHED" and found["runs"] == 2  # this one, and the undisturbed


def test_a_cluster_scaled_down_to_its_head_still_takes_gpus(lab: Lab, head: str) -> None:
    """And a job that fits on no number of hosts buys none."""
    lab.wait_until(lambda: lab.cloud.running() == [head], "idle hosts are not given back")
    [job] = re.findall(r"^submitted (\S+) to", lab.run_python(WIDE, "3"), re.MULTILINE)
    lab.wait_until(lambda: "GPUs now 0 on GPUs True" in lab.cli("jobs", "logs", job), "the job says nothing")
    time.sleep(15)
    assert lab.cloud.running() == [head]  # three hosts where there may be two
    assert "RUNNING" in lab.cli("jobs", "status", job)
    lab.cli("jobs", "stop", job)


@pytest.mark.parametrize(
    "path", ["/api/jobs/", "/api/v0/nodes", "/api/cluster_status", "/nodes?view=summary", "/api/serve/applications/"]
)
def test_the_dashboard_and_what_it_starts_ask_for_the_token(lab: Lab, head: str, path: str) -> None:
    """The last one is that of Ray Serve, which answers 501 to the right token where the extra `serve` is missing."""
    let_in = 501 if "serve" in path and find_spec("grpc_reflection") is None else 200
    assert [lab.status_of(path, token) for token in (None, "0" * 64, lab.token.read_text())] == [401, 403, let_in]


def test_nobody_joins_without_the_token(lab: Lab, head: str) -> None:
    wrong = lab.folder / "wrong"
    wrong.write_text("0" * 64)
    for address in (f"ray://{head}:10001", f"{head}:6379"):
        for env in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(wrong)}):
            printed = lab.run_python(JOIN, address, code=1, **env)
            # Ray Client asks again and again, and then says no more than that it was not let in.
            assert re.search("InvalidAuthToken|AuthenticationError|client connection timeout", printed), printed


def test_the_token_lets_in(lab: Lab, head: str) -> None:
    """The server that Ray starts for a client gives up after 30 s, on a machine with other work too early."""

    def joined() -> bool:
        env = lab.env | {"RAY_AUTH_MODE": "token"}
        process = lab.cloud.start([sys.executable, "-c", JOIN, f"ray://{head}:10001"], **env)
        return "joined" in process.communicate(timeout=120)[0]

    lab.wait_until(joined, "nobody is let in")


def test_nothing_listens_beyond_the_addresses_of_the_cluster(lab: Lab, head: str) -> None:
    """Ray's own ports take any address of their host, which has one; all others name theirs."""
    for host in (lab.cloud.host(head), *lab.services.hosts):
        addresses = lab.cloud.hosts.addresses(host)
        assert addresses == {"127.0.0.1", host.address}
        anywhere = {program for at, program in lab.cloud.hosts.listeners(host) if at in ("*", "0.0.0.0")}
        assert not anywhere - {"gcs_server", "raylet", "ray", "python"}, anywhere
        assert host.address == head or not anywhere


def test_no_secret_is_written_or_shown_anywhere(lab: Lab, head: str, undisturbed: dict[str, Any]) -> None:
    secrets = [lab.token.read_text(), *lab.services.secrets]
    paths = ["/api/jobs/", "/nodes?view=details", "/api/cluster_status"]
    paths += [f"/api/v0/{what}?detail=1&limit=1000" for what in ("actors", "tasks", "workers", "jobs", "runtime_envs")]
    shown = {path: lab.get(path) for path in paths}
    assert "BASEREWARD_SEALED_ENV" in shown["/api/jobs/"]  # so this is where values would stand
    shown |= {"mlflow": str(undisturbed)}
    files = [one for one in lab.folder.glob("i-*/**/*") if one.name != "auth_token"]
    for folder in ("mine", "files", "state"):
        files += (lab.folder / folder).rglob("*")
    shown |= {str(one): one.read_text(errors="replace") for one in files if one.is_file()}
    assert len(shown) > 50
    assert [name for name, text in shown.items() if any(secret in text for secret in secrets)] == []


def test_it_is_taken_down_and_nothing_is_left(lab: Lab, head: str) -> None:
    lab.cli("cluster", "down", lab.file)
    lab.wait_until(lambda: lab.cloud.running() == [], "instances are left")
