"""Facts of nodes -> what is wrong with them and the cure, in words. Pure: no cluster is needed to test it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.nodes.checks import NodeFacts

__all__ = ["LEAST_DRIVER", "Examined", "Finding", "Wanted", "diagnose"]

MAX_CLOCK_OFFSET_S = 1.0
MIN_OPEN_FILES = 16384
# NVIDIA's least driver on Linux, by the major version of CUDA that NCCL was built for: CUDA Toolkit release notes.
LEAST_DRIVER = {12: 525, 13: 580}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the nodes should have; 0 asks for nothing."""

    gpus: int = 0
    efa: int = 0
    disk_gb: float = 50.0
    object_store_gb: float = 1.0
    min_open_files: int = MIN_OPEN_FILES


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One node and what it said."""

    address: str
    is_head: bool
    object_store_gb: float
    facts: NodeFacts | None
    """None: it said nothing."""
    silence: str = ""
    """Why it said nothing."""
    clock_offset_s: float = 0.0
    """Its clock minus ours."""
    clock_error_s: float = 0.0
    """Half of the time that asking took: the offset is known to so much."""
    storage_problem: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something that is wrong on a node, and what to do."""

    node: str
    wrong: str
    cure: str


def diagnose(nodes: Sequence[Examined], wanted: Wanted) -> list[Finding]:
    """All that is wrong, node by node, and then what differs between them."""
    found = [finding for node in nodes for finding in _of_node(node, wanted)]
    return [*found, *_differences(nodes)]


def _of_node(node: Examined, wanted: Wanted) -> list[Finding]:
    facts = node.facts
    if facts is None:
        cure = "look at its raylet.out; end the machine, and the autoscaler brings another"
        return [Finding(node.address, f"it does not answer: {node.silence}", cure)]
    checks = [*_gpus(node, facts, wanted), *_machine(node, facts, wanted)]
    for what, why in facts.unreached.items():
        checks.append((f"{what} is not reached: {why}", "check the address, the security group and the route"))
    if node.storage_problem:
        cure = "check the bucket's name, the node's role and the S3 endpoint of its network"
        checks.append((f"S3 is not reached: {node.storage_problem}", cure))
    return [Finding(node.address, wrong, cure) for wrong, cure in checks]


def _gpus(node: Examined, facts: NodeFacts, wanted: Wanted) -> list[tuple[str, str]]:
    found = []
    if facts.gpu_problem:
        found.append((f"the GPU driver fails: {facts.gpu_problem}", "end this machine; a new one has a new driver"))
    broken = sum(gpu.ecc_errors > 0 for gpu in facts.gpus)
    if broken:
        found.append((f"{broken} GPUs have uncorrected memory errors", "end this machine: it will give wrong numbers"))
    if not node.is_head and len(facts.gpus) < wanted.gpus:
        cure = "check the instance type; in a container, the NVIDIA runtime and --gpus all"
        found.append((f"{len(facts.gpus)} GPUs of {wanted.gpus} wanted", cure))
    if not node.is_head and facts.efa_devices < wanted.efa:
        cure = "check the launch template's EFA interfaces; in a container, --device=/dev/infiniband"
        found.append((f"{facts.efa_devices} EFA devices of {wanted.efa} wanted: NCCL would go over TCP", cure))
    least = 0 if facts.cuda is None else LEAST_DRIVER[facts.cuda]
    old = {gpu.driver for gpu in facts.gpus if int(gpu.driver.partition(".")[0]) < least}
    if old:
        wrong = f"driver {', '.join(sorted(old))} is too old for CUDA {facts.cuda}, which wants {least} or newer"
        found.append((wrong, "a newer machine image (ami in the tfvars), or an image with an older CUDA"))
    if facts.gpus and facts.nccl is None:
        found.append(("there are GPUs and no NCCL", "install torch with CUDA, from the image of this version"))
    return found


def _machine(node: Examined, facts: NodeFacts, wanted: Wanted) -> list[tuple[str, str]]:
    found = []
    if abs(node.clock_offset_s) - node.clock_error_s > MAX_CLOCK_OFFSET_S:
        wrong = f"its clock is off by {node.clock_offset_s:+.1f} s"
        found.append((f"{wrong}: signatures of S3 are refused and logs mix", "start chrony on it"))
    if facts.temp_free_gb < wanted.disk_gb:
        wrong = f"{facts.temp_free_gb:.1f} GB are free in Ray's temporary folder, {wanted.disk_gb:g} GB are wanted"
        found.append((wrong, "enlarge the disk (disk_gb in the tfvars), or delete old sessions there"))
    if not node.is_head and node.object_store_gb < wanted.object_store_gb:
        cure = "raise --object-store-memory, and /dev/shm with it"
        found.append((f"its object store has {node.object_store_gb:.2f} of {wanted.object_store_gb:g} GB", cure))
    if facts.shm_gb and facts.shm_gb < node.object_store_gb:
        wrong = f"shared memory has {facts.shm_gb:.1f} GB, less than the object store: it works on disk, slowly"
        found.append((wrong, "in a container: a larger --shm-size, or an emptyDir in memory"))
    if facts.open_files < wanted.min_open_files:
        wrong = f"a process may open {facts.open_files} files"
        found.append((f"{wrong}: many workers need more", "ulimit -n 65536 before ray start"))
    return found


def _differences(nodes: Sequence[Examined]) -> list[Finding]:
    """What should be the same on all workers: driver, NCCL, kind and number of GPUs."""
    workers = [node for node in nodes if not node.is_head and node.facts is not None]
    found = []
    for what, values in (
        ("GPU driver", {node.address: node.facts.gpus[0].driver for node in workers if node.facts and node.facts.gpus}),
        ("NCCL", {node.address: node.facts.nccl or "none" for node in workers if node.facts}),
        ("GPUs", {node.address: _named(node.facts) for node in workers if node.facts}),
    ):
        found += [
            Finding(
                address, f"its {what} is {value}, the others have {usual}", "build all nodes from one image and type"
            )
            for address, value, usual in _odd(values)
        ]
    return found


def _odd(values: Mapping[str, str]) -> list[tuple[str, str, str]]:
    counts = Counter(values.values())
    if len(counts) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    return [(address, value, usual) for address, value in values.items() if value != usual]


def _named(facts: NodeFacts) -> str:
    names = Counter(gpu.name for gpu in facts.gpus)
    return ", ".join(f"{count} x {name}" for name, count in names.items()) or "none"
