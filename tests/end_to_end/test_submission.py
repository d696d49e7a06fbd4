"""Jobs sent to a real head with a token: submitted, followed, stopped, lost and sent again.

The head, one worker and the machine of the person are hosts of their own; the person's has no Ray.
"""

import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from network_hosts import PATIENCE_S, Host, NetworkHosts, why_not
from workplace import ROOT, Workplace

from cluster.auth import ensure_token

pytestmark = pytest.mark.drill

NAME = "PROBE_PASSWORD"
SECRET = f"never-shown-{secrets.token_hex(16)}"

# What the jobs of these tests run: it shows that it knows the secret, without showing it, and does what it is told.
PROBE = """
import hashlib, os, signal, sys, time
import ray
def known():
    return hashlib.sha256(os.environ.get("PROBE_PASSWORD", "").encode()).hexdigest()
print("driver", known(), flush=True)
what, *rest = sys.argv[1:]
if what == "task":
    ray.init(address="auto", logging_level="ERROR")
    print("task", ray.get(ray.remote(num_cpus=1)(known).remote()), flush=True)
elif what == "wait":
    def end(*_):
        print("ended in order", flush=True)
        sys.exit(143)
    signal.signal(signal.SIGTERM, end)
    if not os.path.exists(rest[0]):
        open(rest[0], "w").write(str(os.getpid()))
        print("waiting", flush=True)
        time.sleep(600)
    print("goes on", flush=True)
sys.exit(int(rest[-1]))
"""

# What the person's machine runs: the product's own functions, with the probe in place of a command.
SEND = """
import sys
from pathlib import Path
from cluster.package import pack
from cluster.submission.job import Submission, new_id
from jobs.submit.send_and_follow import follow_to_its_end, send
code = pack(["cluster"], {"probe.py": Path("probe.py").read_text()}, Path("packages"))
retries, *words = sys.argv[1:]
one = Submission(id=new_id("probe", words), words=("probe", *words), package=str(code.file), env=("PROBE_PASSWORD",))
send(one, None)
sys.exit(follow_to_its_end(one, None, retries=int(retries)))
"""


class Place:
    """A cluster with a token, and a person's machine that may use it."""

    def __init__(self, folder: Path, token: Path, hosts: NetworkHosts, person: Host) -> None:
        self.folder = folder
        self.hosts = hosts
        self.person = person
        self.url = f"http://{hosts.hosts[0].address}:8265"
        self.env = {
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_API_SERVER_ADDRESS": self.url,
            "XDG_STATE_HOME": str(folder / "state"),
            NAME: SECRET,
        }

    def start(self, command: list[str], **env: str) -> subprocess.Popen[str]:
        return self.hosts.start(self.person, command, {**self.env, **env})

    def cli(self, *words: str, code: int = 0, **env: str) -> str:
        """What `basereward WORDS` printed on the person's machine."""
        return ended(self.start([sys.executable, "-m", "jobs", *words], **env), code)

    def send(self, retries: int, *words: str) -> subprocess.Popen[str]:
        return self.start([sys.executable, "-c", SEND, str(retries), *words])

    def get(self, path: str) -> str:
        """An answer of the dashboard to a holder of the token that is no browser."""
        token = Path(self.env["RAY_AUTH_TOKEN_PATH"]).read_text()
        command = ["curl", "-s", "-H", f"Authorization: Bearer {token}", f"{self.url}{path}"]
        return ended(self.start(command), 0)

    def status_code(self, *header: str) -> str:
        return ended(
            self.start(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *header, f"{self.url}/api/jobs/"]), 0
        )


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        ensure_token(folder / "keys" / "token")
        # The nodes know the token by its file; the person's secret is in no environment of theirs.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "keys" / "token"), "PATH": path}
        hosts = NetworkHosts(name, env)
        try:
            hosts.start_head(dashboard=True)
            hosts.workers(2)
            (folder / "probe.py").write_text(PROBE)
            yield Place(folder, folder / "keys" / "token", hosts, hosts.add())
        finally:
            hosts.close()


def ended(process: subprocess.Popen[str], code: int) -> str:
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, printed
    return printed


def wait_until(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.1)


def ids_in(printed: str) -> list[str]:
    return re.findall(r"^submitted (\S+) to", printed, re.MULTILINE)


def test_a_command_runs_there_and_its_exit_code_is_ours(place: Place) -> None:
    recipe = str(Workplace(place.folder / "mine").recipe)
    printed = place.cli("submit", "--wait", "init-model", recipe)
    assert "data_pipeline, rm_core, cluster, jobs and the recipe" in printed
    assert list((place.folder / "mine" / "model").glob("*.safetensors"))
    assert "submitted" not in place.cli("submit", "--wait", "score", recipe, code=2), "refused before it is sent"
    printed = place.cli("submit", "--wait", "score", recipe, f"score.input={place.folder}/absent.jsonl", code=2)
    assert "submitted" in printed and "absent.jsonl' is not there" in printed
    listed = place.cli("jobs", "list", COLUMNS="200")
    assert "SUCCEEDED" in listed and "FAILED" in listed and "score recipe" in listed


def test_a_secret_reaches_driver_and_workers_and_is_shown_nowhere(place: Place) -> None:
    printed = ended(place.send(0, "task", "1"), 1)
    known = hashlib.sha256(SECRET.encode()).hexdigest()
    assert f"driver {known}" in printed and f"task {known}" in printed
    assert "exit code 1" in printed
    [job] = ids_in(printed)
    assert "exit code" in place.cli("jobs", "status", job)
    shown = [place.get(path) for path in ("/api/jobs/", f"/api/jobs/{job}", f"/api/jobs/{job}/logs")]
    shown += [
        place.get(f"/api/v0/{what}?detail=1&limit=1000")
        for what in ("actors", "tasks", "workers", "jobs", "runtime_envs", "nodes")
    ]
    files = [path for path in place.folder.rglob("*") if path.is_file() and path.suffix != ".sock"]
    shown += [path.read_text(errors="replace") for path in files]
    assert sum("BASEREWARD_SEALED_ENV" in text for text in shown) > 2  # so this is where values would stand
    assert any(f"driver {known}" in path.read_text(errors="replace") for path in files)
    assert not [text[:200] for text in shown if SECRET in text]


def test_a_stopped_job_ends_in_order_and_comes_again_where_it_was(place: Place) -> None:
    mark = place.folder / "stopped"
    process = place.send(3, "wait", str(mark), "0")
    wait_until(mark.exists, process)
    [job] = [line.split()[1] for line in place.cli("jobs", "list", COLUMNS="200").splitlines() if "RUNNING" in line]
    assert "is RUNNING: stop it first" in place.cli("jobs", "retry", job, code=2)
    assert "STOPPED" in place.cli("jobs", "stop", job)
    printed = ended(process, 143)  # told to stop: not interrupted, so no other attempt
    assert printed.count("waiting") == printed.count("ended in order") == 1
    assert "goes on" in place.cli("jobs", "retry", "--wait", job)
    assert "is not running" in place.cli("jobs", "stop", job)


def test_a_killed_driver_is_submitted_again(place: Place) -> None:
    mark = place.folder / "killed"
    process = place.send(1, "wait", str(mark), "0")
    wait_until(lambda: mark.exists() and mark.read_text().isdigit(), process)
    subprocess.run(["kill", "-9", mark.read_text()], check=True)
    printed = ended(process, 0)
    first, second = ids_in(printed)
    assert "killed (SIGKILL)" in printed and "goes on" in printed
    shown = json.loads(place.get(f"/api/jobs/{second}"))["metadata"]
    assert shown["basereward.first"] == first and shown["basereward.attempt"] == "2"


def test_ctrl_c_detaches_and_the_job_goes_on(place: Place) -> None:
    mark = place.folder / "detached"
    process = place.send(0, "wait", str(mark), "0")
    wait_until(mark.exists, process)
    inside = next(one for one in place.person.processes() if "probe" in " ".join(one.cmdline()))
    inside.send_signal(signal.SIGINT)
    printed = ended(process, 130)
    [job] = ids_in(printed)
    assert "detached; the job goes on" in printed
    assert "RUNNING" in place.cli("jobs", "status", job)
    following = place.start([sys.executable, "-m", "jobs", "jobs", "logs", "-f", job])
    place.cli("jobs", "stop", job)
    assert "waiting" in ended(following, 143)


def test_a_wrong_or_missing_token_is_refused_everywhere(place: Place) -> None:
    (place.folder / "wrong").write_text("0" * 64)
    wrong, none = {"RAY_AUTH_TOKEN_PATH": str(place.folder / "wrong")}, {"RAY_AUTH_TOKEN_PATH": ""}
    none["HOME"] = str(place.folder / "nobody")
    assert place.status_code() == "401"
    assert place.status_code("-H", f"Authorization: Bearer {'0' * 64}") == "403"
    for words in (("jobs", "list"), ("jobs", "stop", "x"), ("submit", "init-model", "demo", f"run_dir={place.folder}")):
        printed = place.cli(*words, code=2, **wrong)
        assert f"refuses the token from {place.folder}/wrong" in printed, printed
        printed = place.cli(*words, code=2, **none)
        assert "asks for a token, and there is none" in printed, printed
    join = "import sys\nfrom cluster.session import ray_session\nwith ray_session(sys.argv[1]): print('joined')"
    head = place.hosts.hosts[0]
    for env, told in ((wrong, "refuses the token"), (none, "asks for a token"), ({}, "joined")):
        code = 0 if told == "joined" else 1
        process = place.hosts.start(head, [sys.executable, "-c", join, place.hosts.address], {**place.env, **env})
        assert told in ended(process, code)


def test_the_doctor_looks_at_every_node_and_says_what_is_wrong(place: Place) -> None:
    head, *workers, _ = place.hosts.hosts
    well = ("disk_gb=0", "object_store_gb=0", f"mlflow={place.url}")
    printed = place.cli("cluster", "doctor", *well, COLUMNS="200")
    assert "all 3 nodes are well" in printed
    assert re.search(r"all-reduce over 2 nodes by gloo: [\d.]+ Gbit/s", printed), printed
    assert all(host.address in printed for host in (head, *workers))
    wrong = ("disk_gb=99999", "object_store_gb=0", "mlflow=http://127.0.0.1:9", "s3=s3://bucket/shards", "gpus=8")
    printed = place.cli("cluster", "doctor", *wrong, code=1, COLUMNS="200")
    for host in (head, *workers):
        for told in ("GB are free", "MLflow is not reached", "S3 is not reached: the S3 endpoint"):
            assert re.search(f"wrong: {re.escape(host.address)}: .*{told}", printed), printed
    assert printed.count("0 GPUs of 8 wanted") == 2  # the head needs none
    assert "11 things are wrong" in printed
    assert "3 of 3 nodes alive" in place.cli("cluster", "status", COLUMNS="200")


def test_a_supervised_worker_comes_back_after_its_link_was_cut(place: Place) -> None:
    """The head gives the node up; its raylet exits when it hears of that, and its supervisor starts another."""
    host = place.hosts.add()
    script, node = ROOT / "cluster" / "supervise.sh", place.folder / "node"
    ray = str(Path(sys.executable).with_name("ray"))
    start = [ray, "start", "--block", f"--address={place.hosts.address}", f"--node-ip-address={host.address}"]
    start += ["--num-cpus=1", "--object-store-memory=100000000", f"--temp-dir={place.folder}/{host.link}"]
    assert "supervising" in ended(place.hosts.start(host, ["sh", str(script), str(node), *start]), 0)

    def states() -> list[str]:
        shown = place.cli("cluster", "status", COLUMNS="200")
        return re.findall(rf"{re.escape(host.address)} .*?(ALIVE|DEAD)", shown)

    watcher = place.hosts.start(place.person, ["sleep", "600"])
    wait_until(lambda: states() == ["ALIVE"], watcher)
    place.hosts.cut(host)
    wait_until(lambda: states() == ["DEAD"], watcher)
    place.hosts.mend(host)
    wait_until(lambda: sorted(states()) == ["ALIVE", "DEAD"], watcher)  # another node with the same address
    watcher.kill()
    watcher.communicate()
    assert "ray start ended with" in (node / "supervisor.log").read_text()


def test_a_lost_head_loses_no_job(place: Place) -> None:
    """The last test of the module: its head is another one afterwards."""
    mark = place.folder / "lost"
    process = place.send(1, "wait", str(mark), "0")
    wait_until(mark.exists, process)
    head, *others = place.hosts.hosts
    for host in (*others, head):  # Ray starts no head where a node of another one is left
        if host is not place.person:
            host.kill()
    place.hosts.start_head(dashboard=True)
    printed = ended(process, 0)
    assert "asking again" in printed and "answers again" in printed
    assert "knows nothing of it" in printed and "goes on" in printed
    assert len(ids_in(printed)) == 2
