"""`basereward cluster doctor`: missing steps, then every node by a task that runs there; exit code 1 if any is wrong.

From outside it submits itself as a job; on a node of the cluster (``--address auto``) it looks at once.
"""

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from data_pipeline import storage
from data_pipeline.errors import BaserewardError, RunError
from jobs.runtime import PACKAGES
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import columns, say

__all__ = ["doctor"]

ANSWER_TIMEOUT_S = 120.0
EXIT_WRONG = 1


def doctor(
    *,
    gpus: int,
    efa: int,
    disk_gb: int,
    object_store_gb: int,
    bandwidth_gbps: int,
    s3: str | None,
    mlflow: str | None,
    address: str | None,
    from_terraform: str | None,
    recipe: str | None,
    image: str | None,
) -> int:
    """Look for steps that are missing, where outputs or a recipe are named, and then at the nodes of the cluster.

    Returns:
        1 where something is missing or wrong.

    Raises:
        UserError: the cluster can't be reached, or AWS can't be asked.
    """
    steps = from_terraform is not None or recipe is not None
    if steps and _missing_steps(from_terraform, recipe, image, address):
        return EXIT_WRONG
    wanted = {"gpus": gpus, "efa": efa, "disk_gb": disk_gb, "object_store_gb": object_store_gb}
    asked = {**wanted, "bandwidth_gbps": bandwidth_gbps, "s3": s3, "mlflow": mlflow}
    if address != "auto" and not (address and address.endswith(":6379")):
        return _as_job(address, asked)
    from cluster.nodes.diagnosis import Finding, Wanted, diagnose
    from jobs.recipe.schema import ClusterConfig

    with open_cluster(ClusterConfig(address=address)):
        nodes = _examine(s3, {} if mlflow is None else {"MLflow": f"{mlflow.rstrip('/')}/health"})
        found = diagnose(nodes, Wanted(**wanted))
        _show(nodes)
        answering = {node.address for node in nodes if node.facts and not node.is_head}
        problem = _bandwidth(answering, bandwidth_gbps)
    if problem:
        found.append(Finding("the network", problem, "check EFA, the placement group and NCCL_SOCKET_IFNAME"))
    for one in found:
        say(f"wrong: {one.node}: {one.wrong}\n       cure: {one.cure}")
    say(f"{len(found)} things are wrong" if found else f"all {len(nodes)} nodes are well")
    return EXIT_WRONG if found else 0


def _missing_steps(from_terraform: str | None, recipe: str | None, image: str | None, address: str | None) -> bool:
    """Say what is missing; whether there is something."""
    from jobs.cluster.steps import missing_of_cluster, missing_of_recipe
    from jobs.recipe.load import load_recipe
    from jobs.submit.send_and_follow import cluster_errors

    found = []
    with cluster_errors():
        if from_terraform is not None:
            tag = None if image == "none" else image or version("basereward")
            found += missing_of_cluster(from_terraform, image=tag, address=address)
        if recipe is not None:
            found += missing_of_recipe(load_recipe(recipe))
    for one in found:
        say(f"missing: {one.step}: {one.wrong}\n         cure: {one.cure}")
    say(f"{len(found)} steps are missing (docs/cluster.md)" if found else "no step is missing")
    return bool(found)


def _as_job(address: str | None, asked: Mapping[str, Any]) -> int:
    from cluster.auth import state_folder
    from cluster.package import pack
    from cluster.submission.job import Submission, new_id
    from jobs.submit.send_and_follow import COMMAND_KEY, cluster_errors, follow_to_its_end, send

    options = [f"{key}={value}" for key, value in asked.items() if value is not None]
    with cluster_errors():
        code = pack(PACKAGES, {}, state_folder() / "packages")
        submission = Submission(
            id=new_id("doctor", [code.sha256, *options]),
            words=("jobs.cli.main", "cluster", "doctor", "--address", "auto", *options),
            package=str(code.file),
            metadata={COMMAND_KEY: "cluster doctor"},
        )
        send(submission, address)
    return follow_to_its_end(submission, address, retries=0)


def _look(addresses: Mapping[str, str], s3: str | None) -> tuple[Any, str | None]:
    """Runs on a node: its facts, and why it does not reach S3."""
    import ray

    from cluster.nodes.checks import look, reach_endpoint

    problem = None
    if s3 is not None:
        problem = reach_endpoint()
        if problem is None:
            try:
                storage.list_folders(s3)
            except BaserewardError as error:
                problem = str(error)
    return look(ray.get_runtime_context().worker.node.get_temp_dir_path(), addresses), problem


def _now() -> float:
    """Runs on a node: its Unix time."""
    return time.time()


def _clock(strategy: Any) -> tuple[float, float]:
    """How far a node's clock is ahead of ours, and to how much that is known, both in seconds."""
    import ray

    read: Any = ray.remote(num_cpus=0, max_retries=0)(_now)
    offsets = []
    for _ in range(3):  # the first one may have to start a worker
        asked_s = time.time()
        there_s = ray.get(read.options(scheduling_strategy=strategy).remote(), timeout=ANSWER_TIMEOUT_S)
        answered_s = time.time()
        offsets.append((there_s - (asked_s + answered_s) / 2, (answered_s - asked_s) / 2))
    return min(offsets, key=lambda one: one[1])


def _examine(s3: str | None, addresses: Mapping[str, str]) -> "list[Any]":
    """Every node that is alive, the head first; each by a task that can only run there."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from cluster.nodes.diagnosis import Examined

    look: Any = ray.remote(num_cpus=0, max_retries=0)(_look)
    examined = []
    for node in sorted((one for one in ray.nodes() if one["Alive"]), key=lambda one: str(one["NodeManagerAddress"])):
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        here: dict[str, Any] = {
            "address": node["NodeManagerAddress"],
            "is_head": "node:__internal_head__" in node["Resources"],
            "object_store_gb": node["Resources"].get("object_store_memory", 0.0) / 1024**3,
        }
        try:
            reference = look.options(scheduling_strategy=strategy).remote(addresses, s3)
            facts, problem = ray.get(reference, timeout=ANSWER_TIMEOUT_S)
            offset_s, error_s = _clock(strategy)
        except ray.exceptions.RayError as error:
            silence = str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
            examined.append(Examined(**here, facts=None, silence=silence))
            continue
        here |= {"clock_offset_s": offset_s, "clock_error_s": error_s}
        examined.append(Examined(**here, facts=facts, storage_problem=problem))
    return sorted(examined, key=lambda one: not one.is_head)


def _show(nodes: Sequence[Any]) -> None:
    rows = []
    for node in nodes:
        facts = node.facts
        kind = "head" if node.is_head else ""
        if facts is None:
            rows.append((node.address, kind, "no answer", "", "", "", "", ""))
            continue
        gpus = f"{len(facts.gpus)} x {facts.gpus[0].name}, driver {facts.gpus[0].driver}" if facts.gpus else "none"
        rows.append(
            (
                node.address, kind, gpus, facts.nccl or "none", str(facts.efa_devices), f"{node.clock_offset_s:+.2f} s",
                f"{facts.temp_free_gb:.0f} GB", f"{node.object_store_gb:.1f} GB",
            )
        )  # fmt: skip
    columns("Nodes", ("address", "", "GPUs", "NCCL", "EFA", "clock", "disk free", "object store"), rows)


def _bandwidth(addresses: set[str], wanted_gbps: float) -> str | None:
    """Measure where there are two workers or more; what is wrong with it."""
    import ray

    from jobs.cluster.allreduce_probe import all_reduce_gbps

    workers = [one for one in ray.nodes() if one["Alive"] and one["NodeManagerAddress"] in addresses]
    if len(workers) < 2:
        say("all-reduce: not measured, it needs two workers")
        return None
    gpu = all(one["Resources"].get("GPU", 0) >= 1 for one in workers)
    try:
        gbps = all_reduce_gbps([one["NodeID"] for one in workers], gpu=gpu)
    except RunError as error:
        return str(error)
    say(f"all-reduce over {len(workers)} nodes by {'NCCL' if gpu else 'gloo'}: {gbps:.2f} Gbit/s")
    return f"the all-reduce makes {gbps:.2f} Gbit/s of {wanted_gbps:g} wanted" if gbps < wanted_gbps else None
