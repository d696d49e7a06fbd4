"""vCPUs that AWS lets an account run at once, and whether they are enough for all nodes that a cluster may have.

AWS counts them by family of machines and by way of buying, each with a quota of its own; a new account has 5 of
ordinary machines and none with GPUs. Machines in a capacity block count in none of them.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cluster.aws import Account
from cluster.render.outputs import Outputs

__all__ = [
    "Need",
    "Quota",
    "TooSmall",
    "allowed_by",
    "needs_of",
    "quota_of",
    "quotas_of",
    "taken_by_others",
    "too_small",
]


@dataclass(frozen=True)
class Quota:
    """One of AWS's, as its Service Quotas know it."""

    code: str
    name: str


_ORDINARY = {"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"}
_QUOTAS = {
    ("ordinary", "on_demand"): Quota("L-1216C47A", "ordinary machines on demand"),
    ("ordinary", "spot"): Quota("L-34B43A08", "ordinary machines as spot"),
    ("g", "on_demand"): Quota("L-DB2E81BA", "G machines on demand"),
    ("g", "spot"): Quota("L-3819A6DF", "G machines as spot"),
    ("p", "on_demand"): Quota("L-417A185B", "P machines on demand"),
    ("p4", "spot"): Quota("L-7212CCBC", "P2, P3 and P4 machines as spot"),
    ("p5", "spot"): Quota("L-C4BD4855", "P5 machines as spot"),
}


def quota_of(instance_type: str, purchase: str) -> Quota | None:
    """The one that machines of this type count in, bought so; None where it is not known, or there is none.

    >>> quota_of("p5.48xlarge", "on_demand").code, quota_of("p5.48xlarge", "spot").code
    ('L-417A185B', 'L-C4BD4855')
    >>> quota_of("g5.12xlarge", "capacity_block") is None
    True
    """
    found = re.match(r"([a-z]+)(\d*)", instance_type)
    if found is None:
        return None
    letters, generation = found.groups()
    family = "ordinary" if letters in _ORDINARY else "g" if letters == "gr" else letters
    if (family, purchase) == ("p", "spot"):
        family = "p4" if generation in {"2", "3", "4"} else f"p{generation}"
    return _QUOTAS.get((family, purchase))


@dataclass(frozen=True, kw_only=True)
class Need:
    """Machines of one kind that may run at once."""

    name: str
    instance_type: str
    cpus: int
    """vCPUs of one machine."""
    nodes: int
    purchases: tuple[str, ...]
    """Ways of buying, in the order in which they are tried."""


def needs_of(outputs: Outputs) -> list[Need]:
    """The head and the most nodes of each group of workers."""
    kind = outputs.head
    head = Need(name="head", instance_type=kind.instance_type, cpus=kind.cpus, nodes=1, purchases=("on_demand",))
    groups = [
        Need(
            name=group.name,
            instance_type=group.instance_type,
            cpus=group.cpus,
            nodes=group.max_nodes,
            purchases=tuple(template.purchase for template in group.launch_templates),
        )
        for group in outputs.worker_groups
    ]
    return [head, *(group for group in groups if group.nodes)]


def quotas_of(needs: Sequence[Need]) -> list[Quota]:
    """Those that the machines count in, each once."""
    return list(dict.fromkeys(quota for need in needs for quota in _ways(need) if quota is not None))


@dataclass(frozen=True, kw_only=True)
class TooSmall:
    """A quota that keeps nodes away."""

    quota: Quota
    allowed: int
    taken: int
    """vCPUs of machines that are not this cluster's."""
    needed: int
    """By all nodes of this cluster that may be bought so."""
    what: str
    """Those nodes, such as ``h100 8 x 192``."""


def too_small(needs: Sequence[Need], allowed: Mapping[str, int], taken: Mapping[str, int]) -> Iterator[TooSmall]:
    """The quotas that have to grow before each kind can have all its nodes, by one way of buying or another.

    Args:
        allowed: vCPUs by the quota's code; what is not in it limits nothing.
        taken: of these, vCPUs of machines that are not this cluster's.
    """
    room = {code: number - taken.get(code, 0) for code, number in allowed.items()}
    short = [need for need in needs if _placed(need, room) < need.nodes]
    for quota in quotas_of(short):
        if quota.code in allowed:
            those = [need for need in needs if quota in _ways(need)]
            yield TooSmall(
                quota=quota,
                allowed=allowed[quota.code],
                taken=taken.get(quota.code, 0),
                needed=sum(need.nodes * need.cpus for need in those),
                what=", ".join(f"{need.name} {need.nodes} x {need.cpus}" for need in those),
            )


def _ways(need: Need) -> list[Quota | None]:
    return [quota_of(need.instance_type, purchase) for purchase in need.purchases]


def _placed(need: Need, room: dict[str, int]) -> int:
    """How many of its nodes there is room for, as the launcher buys them: what the first way lacks, by the next."""
    placed = 0
    for quota in _ways(need):
        if quota is None or quota.code not in room:
            return need.nodes
        number = min(need.nodes - placed, max(0, room[quota.code] // need.cpus))
        room[quota.code] -= number * need.cpus
        placed += number
    return placed


def allowed_by(account: Account, quotas: Sequence[Quota]) -> dict[str, int]:
    """How many vCPUs, by the quota's code, without those that AWS does not have in this region."""
    allowed = {}
    for quota in quotas:
        asked = {"ServiceCode": "ec2", "QuotaCode": quota.code}
        answer = account.ask("service-quotas", "get_service_quota", **asked)
        answer = answer or account.ask("service-quotas", "get_aws_default_service_quota", **asked)
        if answer is not None:
            allowed[quota.code] = int(answer["Quota"]["Value"])
    return allowed


def taken_by_others(account: Account, name: str, quotas: Sequence[Quota]) -> dict[str, int]:
    """How many vCPUs have running machines that are not those of the cluster `name`, by the quota's code."""
    found = [(kind, quota_of(kind, way)) for kind, way in _others(account, name)]
    counted = [(kind, quota) for kind, quota in found if quota is not None and quota in quotas]
    kinds = sorted({kind for kind, _ in counted})
    types = account.ask("ec2", "describe_instance_types", InstanceTypes=kinds)["InstanceTypes"] if kinds else []
    vcpus = {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in types}
    taken: Counter[str] = Counter()
    for kind, quota in counted:
        taken[quota.code] += vcpus[kind]
    return dict(taken)


def _others(account: Account, name: str) -> Iterator[tuple[str, str]]:
    """Instance type and way of buying of each."""
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    more: dict[str, str] = {}
    while True:
        answer = account.ask("ec2", "describe_instances", Filters=running, **more)
        for one in (one for group in answer["Reservations"] for one in group["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
            if name not in {tags.get("ray-cluster-name"), tags.get("Cluster")}:
                yield one["InstanceType"], one.get("InstanceLifecycle", "on_demand")
        if not answer.get("NextToken"):
            return
        more = {"NextToken": answer["NextToken"]}
