"""What `infra/terraform` would make, without any AWS: its own tests, and rules over every resource and policy.

Everything here needs Terraform and its AWS provider, and is skipped without. One `init` and one run of the tests, which
take a minute, serve all.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from iam_rules import as_list, decide
from role_cases import ACCOUNT, BUCKET, CASES, KEY, NAME
from terraform_tools import Terraform, copy_of_configuration, events_of, resources_of, why_not

pytestmark = [pytest.mark.drill, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    terraform = Terraform(copy_of_configuration(tmp_path_factory.mktemp("terraform") / "copy"))
    terraform.prepare("-backend=false")
    return terraform


@pytest.fixture(scope="module")
def events(terraform: Terraform) -> list[dict[str, Any]]:
    """What Terraform's own tests said, run by run."""
    return events_of(terraform.call("test", "-json", "-verbose", code=None))


@pytest.fixture(scope="module")
def made(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All resources of the run that makes everything, with made-up values in place of AWS's."""
    states = [event["test_state"] for event in events if event["type"] == "test_state"]
    assert len(states) == 1
    return resources_of(states[0]["root_module"])


def of_type(made: list[dict[str, Any]], *types: str) -> dict[str, dict[str, Any]]:
    """Values by address; at least one."""
    found = {one["address"]: one["values"] for one in made if one["type"] in types and one["mode"] == "managed"}
    assert found, types
    return found


def policies(made: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every policy document by the address of its resource: of roles, buckets, the key, the topic, the endpoint."""
    for one in made:
        for attribute in ("policy", "assume_role_policy"):
            text = one["values"].get(attribute)
            if isinstance(text, str) and '"Statement"' in text:
                yield f"{one['address']} {attribute}", json.loads(text)["Statement"]


def role(made: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """All that a role may do, by all policies that are attached to it."""
    attached = of_type(made, "aws_iam_role_policy_attachment").items()
    keys = [re.search(r"this(\[.*\])", address) for address, one in attached if one["role"] == f"{NAME}-{name}"]
    found = dict(policies(made))
    return [one for key in keys if key for one in found[f"module.identity.aws_iam_policy.this{key.group(1)} policy"]]


def test_its_own_tests_pass(events: list[dict[str, Any]]) -> None:
    errors = [event["@message"] for event in events if event["@level"] == "error"]
    runs = {
        (event["@testfile"], event["@testrun"]): event["test_run"]["status"]
        for event in events
        if event["type"] == "test_run" and event["test_run"]["progress"] == "complete"
    }
    assert errors == []
    assert set(runs.values()) == {"pass"} and len(runs) >= 14


def test_nothing_is_open_to_the_world(made: list[dict[str, Any]]) -> None:
    sources = {
        address: rule["cidr_ipv4"]
        for address, rule in of_type(made, "aws_vpc_security_group_ingress_rule").items()
        if rule["cidr_ipv4"]
    }
    assert set(sources.values()) == {"10.8.0.0/16", "192.168.0.0/24", "10.9.0.0/16"}  # the last one is the peer
    assert not any(rule["cidr_ipv6"] for rule in of_type(made, "aws_vpc_security_group_ingress_rule").values())
    assert not any(one["map_public_ip_on_launch"] for one in of_type(made, "aws_subnet").values())
    assert all(one["internal"] for one in of_type(made, "aws_lb").values())
    assert not any(one["publicly_accessible"] for one in of_type(made, "aws_db_instance").values())
    for cluster in of_type(made, "aws_eks_cluster").values():
        assert not cluster["vpc_config"][0]["endpoint_public_access"]
    for service in of_type(made, "aws_ecs_service").values():
        assert not service["network_configuration"][0]["assign_public_ip"]
    blocks = of_type(made, "aws_s3_bucket_public_access_block")
    assert len(blocks) == len(of_type(made, "aws_s3_bucket")) == 5
    switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert all(block[switch] for block in blocks.values() for switch in switches)


def test_each_door_leads_to_the_head_and_to_mlflow_alone(made: list[dict[str, Any]]) -> None:
    rules = of_type(made, "aws_vpc_security_group_ingress_rule")
    names = [re.search(r'"(.*)"', address).group(1) for address in rules if ".access[" in address]  # type: ignore[union-attr]
    doors = ["10.8.0.0/16", "10.9.0.0/16", "192.168.0.0/24", "vpn"]
    assert sorted(names) == sorted(f"{port} {door}" for door in doors for port in ("ssh", "dashboard", "client"))
    assert len([address for address in rules if "balancer_access[" in address]) == len(doors)
    [vpn] = of_type(made, "aws_ec2_client_vpn_endpoint").values()
    assert vpn["authentication_options"][0]["type"] == "certificate-authentication" and vpn["split_tunnel"]
    assert vpn["connection_log_options"][0]["enabled"] and len(vpn["security_group_ids"]) == 1
    out = [one for address, one in of_type(made, "aws_vpc_security_group_egress_rule").items() if ".vpn[" in address]
    assert sorted(one["to_port"] for one in out) == [22, 443, 8265, 10001]
    [route] = of_type(made, "aws_route").values()
    assert route["destination_cidr_block"] == "10.42.0.0/16" and route["route_table_id"] == "rtb-0123456789abcdef0"
    back = [one["cidr_block"] for table in of_type(made, "aws_route_table").values() for one in table["route"]]
    assert back.count("10.9.0.0/16") == 2  # a private table a zone


def test_policies_fit(made: list[dict[str, Any]]) -> None:
    """AWS takes 6,144 characters of a policy, without its spaces; names may be longer than here."""
    lengths = {address: len(json.dumps(one, separators=(",", ":"))) for address, one in policies(made)}
    assert {address: count for address, count in lengths.items() if count > 5500} == {}


def test_only_https_leaves(made: list[dict[str, Any]]) -> None:
    """Whoever may speak to the world may do so on one port; all else goes to groups of ours."""
    rules = of_type(made, "aws_vpc_security_group_egress_rule").values()
    assert {(rule["from_port"], rule["to_port"]) for rule in rules if rule["cidr_ipv4"]} == {(443, 443)}
    assert all(rule["cidr_ipv4"] or rule["referenced_security_group_id"] for rule in rules)


def test_everything_is_encrypted(made: list[dict[str, Any]]) -> None:
    for template in of_type(made, "aws_launch_template").values():
        disks = [disk["ebs"][0] for disk in template["block_device_mappings"]]
        assert disks and all(disk["encrypted"] == "true" and disk["kms_key_id"] == KEY for disk in disks)
    database = next(iter(of_type(made, "aws_db_instance").values()))
    assert database["storage_encrypted"] and database["kms_key_id"] == database["master_user_secret_kms_key_id"] == KEY
    assert database["manage_master_user_password"] and not database.get("password")
    for kind in ("aws_cloudwatch_log_group", "aws_secretsmanager_secret"):
        assert {one["kms_key_id"] for one in of_type(made, kind).values()} == {KEY}
    assert all(
        one["encryption_configuration"][0]["kms_key"] == KEY for one in of_type(made, "aws_ecr_repository").values()
    )
    assert {one["kms_master_key_id"] for one in of_type(made, "aws_sns_topic").values()} == {KEY}
    assert all(one["enable_key_rotation"] for one in of_type(made, "aws_kms_key").values())
    listener = next(iter(of_type(made, "aws_lb_listener").values()))
    assert listener["protocol"] == "HTTPS" and "TLS13" in listener["ssl_policy"]
    rules = {
        address: one["rule"][0]["apply_server_side_encryption_by_default"][0]
        for address, one in of_type(made, "aws_s3_bucket_server_side_encryption_configuration").items()
    }
    assert len(rules) == 5
    for address, rule in rules.items():
        assert rule["sse_algorithm"] == ("AES256" if address.endswith(".logs") else "aws:kms")


def test_buckets_refuse_plain_http(made: list[dict[str, Any]]) -> None:
    found = [(address, one) for address, one in policies(made) if "aws_s3_bucket_policy" in address]
    assert len(found) == 5
    for address, statements in found:
        bucket = next(one for one in as_list(statements[0]["Resource"]) if one.endswith("/*"))
        asked = {"action": "s3:GetObject", "resource": bucket.replace("*", "x"), "caller": "somebody"}
        assert decide(statements, context={"aws:SecureTransport": "false"}, **asked) is False, address
        assert decide(statements, context={"aws:SecureTransport": "true"}, **asked) is None, address


def test_instance_metadata_wants_a_session(made: list[dict[str, Any]]) -> None:
    templates = of_type(made, "aws_launch_template")
    assert {one["metadata_options"][0]["http_tokens"] for one in templates.values()} == {"required"}
    hops = {address: one["metadata_options"][0]["http_put_response_hop_limit"] for address, one in templates.items()}
    assert all(hop == (1 if "module.kubernetes" in address else 2) for address, hop in hops.items())


def test_what_templates_launch_is_tagged(made: list[dict[str, Any]]) -> None:
    for address, template in of_type(made, "aws_launch_template").items():
        tags = {one["resource_type"]: one["tags"] for one in template["tag_specifications"]}
        assert {"instance", "volume"} <= tags.keys(), address
        for kind, named in tags.items():
            assert named["Cluster"] == NAME and named["Environment"] == "dev"
            # Ray's launcher gives an instance a name and waits for one of that name: a template's own would replace it.
            by_ray = kind == "instance" and "module.compute" in address
            assert "Name" not in named if by_ray else named["Name"].startswith(NAME)


def test_efa(made: list[dict[str, Any]]) -> None:
    """Only groups that ask for EFA have it, among members of one security group, and in one placement group."""
    templates = of_type(made, "aws_launch_template")
    with_efa = {address: one for address, one in templates.items() if one["network_interfaces"]}
    assert {re.search(r'"(.*)"', address).group(1) for address in with_efa} == {"a100-spot", "a100-on-demand"}  # type: ignore[union-attr]
    for address, one in with_efa.items():
        interfaces = one["network_interfaces"]
        assert [card["network_card_index"] for card in interfaces] == [0, 1, 2, 3]
        assert [card["interface_type"] for card in interfaces] == ["efa", *3 * ["efa-only"]]
        assert one["placement"][0]["group_name"].endswith("-a100")
        # Ray's launcher wants a subnet in each; a node group refuses one, as it refuses a profile and a way of buying.
        for_ray = "module.compute" in address
        assert all(bool(card["subnet_id"]) == for_ray for card in interfaces)
        assert bool(one["iam_instance_profile"]) == for_ray and bool(one["image_id"]) == for_ray
    for way in ("ingress", "egress"):
        rules = of_type(made, f"aws_vpc_security_group_{way}_rule")
        rule = rules[f"module.network.aws_vpc_security_group_{way}_rule.cluster_self"]
        assert rule["ip_protocol"] == "-1" and rule["security_group_id"] == rule["referenced_security_group_id"]


def test_no_wildcard_actions(made: list[dict[str, Any]]) -> None:
    """No action that is allowed has one, but for the account's hold on its key; "*" as the resource is bounded."""
    found = dict(policies(made))
    assert len(found) > 20
    for address, statements in found.items():
        for statement in statements:
            if statement["Effect"] == "Deny" or statement.get("Sid") == "TheAccountDecidesByIam":
                continue
            assert not any("*" in action for action in as_list(statement["Action"])), (address, statement)
            assert "NotAction" not in statement and "NotResource" not in statement, (address, statement)
            if "*" in as_list(statement.get("Resource", [])) and "aws_vpc_endpoint" not in address:
                assert statement.get("Condition"), (address, statement)
            if statement.get("Principal") == "*" or statement.get("Principal") == {"AWS": "*"}:
                assert statement.get("Condition") or "aws_vpc_endpoint" in address, (address, statement)


@pytest.mark.parametrize(("name", "action", "resource", "context", "allowed"), CASES)
def test_least_privilege(
    made: list[dict[str, Any]], name: str, action: str, resource: str, context: dict[str, str], allowed: bool | None
) -> None:
    assert decide(role(made, name), action=action, resource=resource, context=context) is allowed


def test_who_may_have_which_role(made: list[dict[str, Any]]) -> None:
    trust = {
        re.search(r'"(.*?)"', address).group(1): statements  # type: ignore[union-attr]
        for address, statements in policies(made)
        if address.startswith("module.identity.aws_iam_role.this")
    }
    assert trust["head"][0]["Principal"] == {"Service": "ec2.amazonaws.com"} and len(trust["head"]) == 1
    assert [one["Principal"]["Service"] for one in trust["worker"]] == ["ec2.amazonaws.com", "pods.eks.amazonaws.com"]
    for name in ("submitter", "operator"):
        assert trust[name][0]["Principal"] == {"AWS": [f"arn:aws:iam::{ACCOUNT}:root"]}


def test_data_cannot_leave_through_the_endpoint(made: list[dict[str, Any]]) -> None:
    statements = dict(policies(made))["module.network.aws_vpc_endpoint.s3 policy"]
    assert decide(statements, action="s3:PutObject", resource=f"{BUCKET['artifacts']}/a") is True
    assert decide(statements, action="s3:PutObject", resource="arn:aws:s3:::somebody-elses/a") is None
    assert decide(statements, action="s3:GetObject", resource="arn:aws:s3:::image-layers/a") is True


def test_first_boot(made: list[dict[str, Any]], tmp_path: Path) -> None:
    """The script of a node with two local disks, run with stand-ins for what needs the machine."""
    template = of_type(made, "aws_launch_template")['module.compute.aws_launch_template.worker["a100-spot"]']
    script = base64.b64decode(template["user_data"]).decode()
    calls, tools = tmp_path / "calls", tmp_path / "bin"
    tools.mkdir()
    agent = tmp_path / "agent" / "bin" / "amazon-cloudwatch-agent-ctl"
    agent.parent.mkdir(parents=True)
    stand_ins = {tools / name: "exit 0" for name in ("mdadm", "mkfs.xfs", "mount")}
    stand_ins |= {tools / "systemctl": "exit 1", tools / "mountpoint": "exit 1", agent: "exit 0"}
    stand_ins[tools / "find"] = "printf '/dev/nvme2n1\\n/dev/nvme1n1\\n/dev/nvme1n1\\n'"
    for path, body in stand_ins.items():
        path.write_text(f'#!/bin/bash\necho "$(basename "$0") $*" >> {calls}\n{body}\n')
        path.chmod(0o755)
    script = script.replace("/opt/aws/amazon-cloudwatch-agent", str(tmp_path / "agent"))
    script = script.replace("/mnt/cache", str(tmp_path / "cache"))
    subprocess.run(["bash", "-c", script], env={"PATH": f"{tools}:/usr/bin:/bin"}, check=True, capture_output=True)
    made_calls = calls.read_text().splitlines()
    assert "mdadm --create /dev/md0 --run --level=0 --raid-devices=2 /dev/nvme1n1 /dev/nvme2n1" in made_calls
    assert f"mount -o noatime,discard /dev/md0 {tmp_path / 'cache'}" in made_calls
    assert (tmp_path / "cache").stat().st_mode & 0o7777 == 0o1777
    metrics = json.loads((tmp_path / "agent" / "etc" / "node.json").read_text())["metrics"]
    assert metrics["namespace"] == f"{NAME}/nodes" and metrics["metrics_collected"]["nvidia_gpu"][
        "append_dimensions"
    ] == {"Group": "a100"}


def test_alarms_ask_for_metrics_that_nodes_send(made: list[dict[str, Any]]) -> None:
    alarms = {
        one["alarm_name"].removeprefix(f"{NAME}-"): one for one in of_type(made, "aws_cloudwatch_metric_alarm").values()
    }
    assert {
        "gpu-idle-a100",
        "gpu-idle-a10g",
        "disk-head",
        "disk-a100",
        "database-cpu",
        "mlflow-down",
        "disk-cpu",
    } <= alarms.keys()
    assert "gpu-idle-cpu" not in alarms
    assert alarms["gpu-idle-a100"]["dimensions"] == {"Group": "a100"}
    assert (
        alarms["gpu-idle-a100"]["namespace"] == f"{NAME}/nodes" and alarms["gpu-idle-a100"]["evaluation_periods"] == 6
    )
    assert all(one["alarm_actions"] for one in alarms.values())
    budget = next(iter(of_type(made, "aws_budgets_budget").values()))
    assert budget["cost_filter"] == [{"name": "TagKeyValue", "values": [f"user:Cluster${NAME}"]}]
