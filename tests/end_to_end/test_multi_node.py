"""Training over several hosts with addresses of their own: what a lost, leaving or bad one changes (nothing)."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from network_hosts import PATIENCE_S, Host, NetworkHosts, hosts  # noqa: F401  # a fixture
from training_runs import ended, series_of, wait_for_checkpoint
from workplace import Workplace

pytestmark = pytest.mark.drill

# Connects at once, drains the node of the address in the first line it is told, and ends.
DRAIN = """
import sys, ray
from ray._raylet import GcsClient
from ray.core.generated import autoscaler_pb2
ray.init(address=sys.argv[1], logging_level="ERROR")
gcs = GcsClient(address=sys.argv[1])
address = sys.stdin.readline().strip()
node = next(node["NodeID"] for node in ray.nodes() if node["NodeManagerAddress"] == address and node["Alive"])
reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
print(gcs.drain_node(node, reason, "spot", 0))
"""


@pytest.fixture(scope="module")
def trained(workplace: Workplace) -> Workplace:
    """The undisturbed training, on one host."""
    workplace.run("train", f"train.output={workplace.folder}/undisturbed")
    return workplace


def start(place: Workplace, cluster: NetworkHosts, output: Path, *overrides: str) -> subprocess.Popen[str]:
    """A training of two workers on the cluster, driven from its head."""
    arguments = (f"train.output={output}", f"cluster.address={cluster.address}", "train.group.watch_s=0.1", *overrides)
    return cluster.start(cluster.hosts[0], place.command("train", *arguments))


def worker_on(host: Host) -> int | None:
    """The process of the group's worker on a host, if it has one."""
    found = [process.pid for process in host.processes() if "RayTrainWorker" in " ".join(process.cmdline())]
    return found[0] if found else None


def newest_parts(output: Path) -> int:
    """Ranks that wrote the newest checkpoint."""
    newest = sorted(output.glob("checkpoints/step-*/COMPLETE.json"))[-1].parent
    return len(list(newest.glob("rank-*.safetensors")))


def wait_until(found: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.02)


def assert_same(place: Workplace, output: Path, *, bitwise: bool = True) -> None:
    whole, ours = series_of(place.folder, "undisturbed"), series_of(place.folder, output.name)
    if bitwise:
        assert ours == whole
        return
    for name, points in ours.items():
        assert [step for step, _ in points] == [step for step, _ in whole[name]], name
        if name == "verify/ids_hash":
            assert points == whole[name]
        assert [value for _, value in points] == pytest.approx([value for _, value in whole[name]], rel=2e-3), name


def test_a_lost_node_is_replaced_by_another_and_changes_nothing(trained: Workplace, hosts: NetworkHosts) -> None:  # noqa: F811
    output = trained.folder / "lost_node"
    lost = hosts.workers(2)[1]
    process = start(trained, hosts, output)
    wait_for_checkpoint(process, output)
    hosts.lose(lost)
    hosts.start_worker()
    printed = ended(process)
    assert lost.address in printed
    assert "train.group.max_lost_workers: 1 of 20" in printed
    assert_same(trained, output)


@pytest.mark.parametrize("engine", ["deepspeed", "fsdp"])
def test_the_group_goes_on_with_fewer_workers_when_a_node_is_lost(
    trained: Workplace,
    hosts: NetworkHosts,  # noqa: F811
    engine: str,
) -> None:
    """At stage 3, whose shards of two hosts the one that is left takes over."""
    output = trained.folder / f"fewer-{engine}"
    lost = hosts.workers(2)[1]
    sharding = (f"train.engine={engine}", "train.zero.stage=3")
    process = start(trained, hosts, output, "train.group.min_workers=1", *sharding)
    wait_for_checkpoint(process, output)
    hosts.lose(lost)
    printed = ended(process)
    assert "going on with 1 of 2 workers" in printed
    assert newest_parts(output) == 1
    assert_same(trained, output, bitwise=False)


def test_the_group_grows_when_a_node_comes_and_repeats_nothing(
    trained: Workplace,
    hosts: NetworkHosts,  # noqa: F811
) -> None:
    output = trained.folder / "more"
    hosts.workers(1)
    process = start(trained, hosts, output, "train.group.min_workers=1", "train.checkpoint_every=1000")
    wait_until(lambda: any(worker_on(host) for host in hosts.hosts), process)
    hosts.start_worker()
    printed = ended(process)
    assert "going on with 1 of 2 workers" in printed
    assert "there is room for 2 workers now" in printed
    assert re.search(r"stopped after step \d+ of 30, with a checkpoint", printed), printed
    assert newest_parts(output) == 2
    assert_same(trained, output, bitwise=False)


def test_a_node_about_to_be_taken_away_is_left_with_nothing_repeated(
    trained: Workplace,
    hosts: NetworkHosts,  # noqa: F811
) -> None:
    output = trained.folder / "drained"
    drain = hosts.start(hosts.hosts[0], [sys.executable, "-c", DRAIN, hosts.address])
    hosts.workers(3)
    process = start(trained, hosts, output, "train.checkpoint_every=1000")
    wait_until(lambda: any(worker_on(host) for host in hosts.hosts), process)
    leaving = next(host for host in hosts.hosts if worker_on(host))
    drain.communicate(f"{leaving.address}\n", timeout=60)
    printed = ended(process)
    assert f"{leaving.address} is about to be taken away" in printed
    assert re.search(r"stopped after step \d+ of 30, with a checkpoint", printed), printed
    assert "max_lost_workers" not in printed
    assert_same(trained, output)


def test_a_node_that_kills_its_workers_gets_none_any_more(trained: Workplace, hosts: NetworkHosts) -> None:  # noqa: F811
    output = trained.folder / "bad_node"
    bad = hosts.workers(2)[1]
    process = start(trained, hosts, output, "train.group.exclude_node_after=1")
    wait_for_checkpoint(process, output)
    subprocess.run(["kill", "-9", str(worker_on(bad))], check=True)
    hosts.start_worker()
    printed = ended(process)
    assert f"node {bad.address} gets no worker any more" in printed
    assert_same(trained, output)


def test_another_cluster_goes_on_where_the_one_that_is_gone_ended(trained: Workplace, hosts: NetworkHosts) -> None:  # noqa: F811
    """SIGTERM to the driver, then the head and all nodes are lost; the same command on new ones."""
    output = trained.folder / "moved"
    workers = hosts.workers(2)
    process = start(trained, hosts, output)
    wait_for_checkpoint(process, output)
    driver = next(one for one in hosts.hosts[0].processes() if str(output) in " ".join(one.cmdline()))
    driver.terminate()
    printed = ended(process, code=143)
    assert re.search(r"stopped after step \d+ of 30, with a checkpoint", printed), printed
    for host in workers:
        hosts.lose(host)
    hosts.hosts[0].kill()
    hosts.start_head()
    hosts.workers(2)
    ended(start(trained, hosts, output))
    assert_same(trained, output)


def test_no_room_in_time_is_said_node_by_node(trained: Workplace, hosts: NetworkHosts) -> None:  # noqa: F811
    output = trained.folder / "no_room"
    first, second = hosts.workers(2)
    process = start(trained, hosts, output, "train.num_workers=3", "train.group.start_timeout_s=6")
    printed = ended(process, code=75)
    assert "no room for the group after train.group.start_timeout_s=6 s: 3 workers of 1 CPU each are wanted" in printed
    for host in (first, second):
        assert f"{host.address} has 1 of 1 CPU free" in printed
