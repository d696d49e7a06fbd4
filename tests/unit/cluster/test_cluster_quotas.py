"""Which of AWS's quotas keep a cluster's nodes away; what AWS says of them: `tests/terraform/test_account_steps.py`."""

from pathlib import Path
from typing import Any

import pytest
from terraform_outputs import write_outputs

from cluster.quotas import Need, Quota, allowed_by, needs_of, quota_of, quotas_of, taken_by_others, too_small
from cluster.render.outputs import read_outputs

P_DEMAND, P5_SPOT = "L-417A185B", "L-C4BD4855"


def need(name: str, nodes: int, *purchases: str, kind: str = "p5.48xlarge") -> Need:
    return Need(name=name, instance_type=kind, cpus=192, nodes=nodes, purchases=purchases)


@pytest.mark.parametrize(
    ("kind", "demand", "spot"),
    [
        ("m6i.4xlarge", "L-1216C47A", "L-34B43A08"),
        ("im4gn.large", "L-1216C47A", "L-34B43A08"),
        ("g4dn.xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("gr6.4xlarge", "L-DB2E81BA", "L-3819A6DF"),
        ("p4de.24xlarge", P_DEMAND, "L-7212CCBC"),
        ("p5en.48xlarge", P_DEMAND, P5_SPOT),
        ("p6-b200.48xlarge", P_DEMAND, None),  # AWS's pages do not say which
        ("inf2.xlarge", None, None),
        ("u-6tb1.metal", None, None),
    ],
)
def test_a_machine_counts_in_a_quota_of_its_family(kind: str, demand: str | None, spot: str | None) -> None:
    found = [quota_of(kind, way) for way in ("on_demand", "spot", "capacity_block")]
    assert [None if one is None else one.code for one in found] == [demand, spot, None]


def test_what_a_cluster_needs(tmp_path: Path) -> None:
    needs = needs_of(read_outputs(write_outputs(tmp_path / "outputs.json")))
    assert [(one.name, one.cpus, one.nodes, one.purchases) for one in needs] == [
        ("head", 8, 1, ("on_demand",)),
        ("a10g", 48, 2, ("on_demand",)),
        ("h100", 192, 8, ("spot", "on_demand")),
    ]
    assert [one.code for one in quotas_of(needs)] == ["L-1216C47A", "L-DB2E81BA", P5_SPOT, P_DEMAND]


@pytest.mark.parametrize(
    ("allowed", "taken", "short"),
    [
        ({P5_SPOT: 1536, P_DEMAND: 0}, {}, {}),
        ({P5_SPOT: 0, P_DEMAND: 1536}, {}, {}),
        ({P5_SPOT: 900, P_DEMAND: 800}, {}, {}),  # four nodes by each: some of the rest is of no use
        ({P5_SPOT: 900, P_DEMAND: 767}, {}, {P5_SPOT: 1536, P_DEMAND: 1536}),
        ({P5_SPOT: 1536, P_DEMAND: 0}, {P5_SPOT: 1}, {P5_SPOT: 1536, P_DEMAND: 1536}),
        ({P5_SPOT: 0}, {}, {}),  # of what AWS does not know nothing is said
        ({P5_SPOT: 100, P_DEMAND: 0}, {P5_SPOT: 500}, {P5_SPOT: 1536, P_DEMAND: 1536}),
    ],
)
def test_a_group_needs_room_by_one_way_or_another(
    allowed: dict[str, int], taken: dict[str, int], short: dict[str, int]
) -> None:
    found = list(too_small([need("h100", 8, "spot", "on_demand")], allowed, taken))
    assert {one.quota.code: one.needed for one in found} == short
    assert all(one.allowed == allowed[one.quota.code] for one in found)
    assert all(one.taken == taken.get(one.quota.code, 0) for one in found)


def test_groups_share_a_quota() -> None:
    """The one that comes second lacks it; what both need is asked for at once."""
    needs = [need("a", 4, "on_demand"), need("b", 2, "on_demand"), need("c", 1, "capacity_block")]
    [one] = too_small(needs, {P_DEMAND: 5 * 192}, {})
    assert (one.needed, one.what) == (6 * 192, "a 4 x 192, b 2 x 192")
    assert list(too_small(needs, {P_DEMAND: 6 * 192}, {})) == []


class Account:
    """AWS, with machines on two pages and one quota that nobody ever changed."""

    def ask(self, service: str, call: str, **asked: Any) -> Any:
        return getattr(self, call)(**asked)

    def describe_instances(self, Filters: Any, NextToken: str | None = None) -> Any:  # noqa: N803 - as AWS names them
        assert Filters == [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        if NextToken is None:
            theirs, spot = machine("p5.48xlarge"), machine("p5.48xlarge", InstanceLifecycle="spot")
            return {"Reservations": [{"Instances": [theirs, spot]}], "NextToken": "more"}
        ours, nodes = machine("p5.48xlarge", "ray-cluster-name"), machine("p5.48xlarge", "Cluster")
        block = machine("p5.48xlarge", InstanceLifecycle="capacity-block")
        rest = [ours, nodes, block, machine("p4d.24xlarge"), machine("t3.micro")]
        return {"Reservations": [{"Instances": rest[:2]}, {"Instances": rest[2:]}]}

    def describe_instance_types(self, InstanceTypes: list[str]) -> Any:  # noqa: N803
        assert InstanceTypes == ["p4d.24xlarge", "p5.48xlarge"], "only of those that count"
        kinds = zip(InstanceTypes, (96, 192), strict=True)
        return {"InstanceTypes": [{"InstanceType": kind, "VCpuInfo": {"DefaultVCpus": vcpus}} for kind, vcpus in kinds]}

    def get_service_quota(self, ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803
        return {"Quota": {"Value": 192.0}} if QuotaCode == P_DEMAND else None

    def get_aws_default_service_quota(self, ServiceCode: str, QuotaCode: str) -> Any:  # noqa: N803
        return {"Quota": {"Value": 0.0}} if QuotaCode == P5_SPOT else None


def machine(kind: str, tag: str = "Name", **more: str) -> dict[str, Any]:
    return {"InstanceType": kind, "Tags": [{"Key": tag, "Value": "basereward-dev"}], **more}


def test_what_aws_says_is_read_to_its_end() -> None:
    account: Any = Account()
    quotas = quotas_of([need("h100", 8, "spot", "on_demand")])
    assert taken_by_others(account, "basereward-dev", quotas) == {P_DEMAND: 192 + 96, P5_SPOT: 192}
    assert allowed_by(account, [*quotas, Quota("L-NOT-HERE", "x")]) == {P_DEMAND: 192, P5_SPOT: 0}
