"""Drill: the whole infrastructure is made, changed by nothing, used by its roles and taken down, on a local AWS API.

The state lies in that API's S3, locked, as it would be in AWS's. Most of the time goes to fixed waits of the AWS
provider (lifecycle rules, load balancer, database), during which checkov is installed.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from terraform_tools import (
    PINS,
    AwsApi,
    Terraform,
    aws_api,
    copy_of_configuration,
    events_of,
    python_with,
    resources_of,
    why_not,
)

from cluster.render import ray_up
from cluster.render.outputs import read_outputs

pytestmark = [pytest.mark.drill, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]

NAME, ACCOUNT = "basereward-dev", "123456789012"
QUICKER = 'provider "aws" {\n  max_retries = 2\n}\n'  # a call that fails here fails again: do not try for minutes


@dataclass
class Stack:
    """A configuration that has been applied, its API, and what the API held before."""

    api: AwsApi
    terraform: Terraform
    options: list[str]
    before: dict[str, set[str]]
    outputs: dict[str, Any]


@pytest.fixture(scope="module")
def checkov() -> Iterator[Callable[[], Path | str]]:
    """Checkov's Python, installed beside the drill."""
    found: list[Path | str] = []
    thread = threading.Thread(target=lambda: found.append(python_with("checkov")))
    thread.start()

    def wait() -> Path | str:
        thread.join()
        return found[0] if found else "no checkov: its installation was cut short"

    yield wait
    thread.join()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, checkov: Callable[[], Path | str]) -> Iterator[Stack]:
    """The bucket for states first, then everything."""
    python = python_with("moto")
    if isinstance(python, str):
        pytest.skip(python)
    folder = tmp_path_factory.mktemp("stack")
    with aws_api(python, folder) as api:
        bootstrap = Terraform(copy_of_configuration(folder / "bootstrap", "bootstrap"), api.environment)
        bootstrap.prepare()
        bootstrap.call("apply", "-auto-approve", "-input=false", "-no-color")
        bucket = json.loads(bootstrap.call("output", "-json"))["bucket"]["value"]
        before = inventory(api)
        terraform = Terraform(copy_of_configuration(folder / "cluster"), api.environment)
        (terraform.folder / "quicker_override.tf").write_text(QUICKER)
        backend = ["environments/dev.s3.tfbackend", f"bucket={bucket}", "use_path_style=true"]
        terraform.prepare(*[f"-backend-config={setting}" for setting in backend])
        mlflow = {"host_name": "mlflow.dev.ml.example.com", "certificate_arn": certificate(api), "image_tag": "1"}
        options = ["-input=false", "-no-color", "-var-file=environments/dev.tfvars"]
        options += [f"-var-file={PINS / 'lab.tfvars'}", f"-var=mlflow={json.dumps(mlflow)}"]
        terraform.call("apply", "-auto-approve", "-parallelism=20", *options)
        outputs = {name: it["value"] for name, it in json.loads(terraform.call("output", "-json")).items()}
        yield Stack(api, terraform, options, before, outputs)


def certificate(api: AwsApi) -> str:
    """The ARN of a certificate in the API: AWS would want a real one there."""
    return str(api.client("acm").request_certificate(DomainName="mlflow.dev.ml.example.com")["CertificateArn"])


def inventory(api: AwsApi) -> dict[str, set[str]]:
    """Names of what there is, by kind: of every kind that the configuration makes."""
    questions: dict[str, tuple[str, str, str, str]] = {
        "buckets": ("s3", "list_buckets", "Buckets", "Name"),
        "networks": ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
        "subnets": ("ec2", "describe_subnets", "Subnets", "SubnetId"),
        "security groups": ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
        "addresses": ("ec2", "describe_addresses", "Addresses", "AllocationId"),
        "templates": ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
        "placement groups": ("ec2", "describe_placement_groups", "PlacementGroups", "GroupName"),
        "flow logs": ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
        "databases": ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
        "balancers": ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
        "roles": ("iam", "list_roles", "Roles", "RoleName"),
        "profiles": ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
        "logs": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
        "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
        "topics": ("sns", "list_topics", "Topics", "TopicArn"),
        "images": ("ecr", "describe_repositories", "repositories", "repositoryName"),
        "secrets": ("secretsmanager", "list_secrets", "SecretList", "Name"),
        "zones": ("route53", "list_hosted_zones", "HostedZones", "Name"),
    }
    found = {
        kind: {one[name] for one in getattr(api.client(service), call)()[several]}
        for kind, (service, call, several, name) in questions.items()
    }
    # AWS too shows these for a while after their end.
    gateways = api.client("ec2").describe_nat_gateways()["NatGateways"]
    found["gateways"] = {one["NatGatewayId"] for one in gateways if one["State"] != "deleted"}
    endpoints = api.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    found["endpoints"] = {one["VpcEndpointId"] for one in endpoints if one["State"] != "deleted"}
    found["policies"] = {one["PolicyName"] for one in api.client("iam").list_policies(Scope="Local")["Policies"]}
    found["kubernetes"] = set(api.client("eks").list_clusters()["clusters"])
    services = api.client("ecs").list_clusters()["clusterArns"]
    states = api.client("ecs").describe_clusters(clusters=services)["clusters"]
    found["services"] = {one["clusterName"] for one in states if one["status"] == "ACTIVE"}
    budgets = api.client("budgets").describe_budgets(AccountId=ACCOUNT)
    found["budgets"] = {one["BudgetName"] for one in budgets.get("Budgets", [])}
    kms = api.client("kms")
    keys = [kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"] for one in kms.list_keys()["Keys"]]
    found["keys"] = {one["KeyId"] for one in keys if one["KeyState"] != "PendingDeletion"}
    return found


def test_a_second_plan_changes_nothing(stack: Stack) -> None:
    stack.terraform.call("plan", "-detailed-exitcode", *stack.options, code=0)
    assert stack.api.missing_calls() == []


def test_everything_is_tagged(stack: Stack) -> None:
    state = json.loads(stack.terraform.call("show", "-json"))
    resources = [one for one in resources_of(state["values"]["root_module"]) if one["mode"] == "managed"]
    assert len(resources) > 120
    wanted = {"Project": "basereward", "Environment": "dev", "Cluster": NAME, "ManagedBy": "terraform"}
    untagged = [
        one["address"]
        for one in resources
        if one["values"].get("tags_all") is not None and not wanted.items() <= one["values"]["tags_all"].items()
    ]
    assert untagged == []


def test_no_secret_is_in_the_state(stack: Stack) -> None:
    """Drawn passwords are in Secrets Manager, and nowhere in what Terraform keeps."""
    state = stack.terraform.call("state", "pull")
    secrets = stack.api.client("secretsmanager")
    token = secrets.get_secret_value(SecretId=f"{NAME}/ray-token")["SecretString"]
    admin = json.loads(secrets.get_secret_value(SecretId=f"{NAME}/mlflow-admin")["SecretString"])
    assert len(token) == 48 and admin["username"] == "admin" and len(admin["password"]) == 48
    assert token != admin["password"]
    assert token not in state and admin["password"] not in state


def test_the_state_is_locked(stack: Stack) -> None:
    """Whoever holds the lock is named; a second apply does not begin."""
    s3 = stack.api.client("s3")
    place = {"Bucket": f"basereward-terraform-{ACCOUNT}", "Key": "dev/cluster.tfstate.tflock"}
    lock = {"ID": "7d7b", "Operation": "apply", "Who": "somebody@else", "Version": "1.11.4", "Path": "x"}
    s3.put_object(**place, Body=json.dumps({**lock, "Created": "2026-01-01T00:00:00Z", "Info": ""}).encode())
    try:
        refused = stack.terraform.call("apply", "-auto-approve", "-lock-timeout=0s", *stack.options, code=1)
        assert "Error acquiring the state lock" in refused and "somebody@else" in refused
    finally:
        s3.delete_object(**place)


def test_production_can_be_planned(stack: Stack) -> None:
    """The other environment, with sizes of its own, against what AWS says of the instance types."""
    mlflow = {"host_name": "mlflow.ml.example.com", "certificate_arn": certificate(stack.api), "image_tag": "1"}
    folder = copy_of_configuration(stack.terraform.folder.parent / "prod")
    (folder / "local_override.tf").write_text('terraform {\n  backend "local" {}\n}\n' + QUICKER)
    prod = Terraform(folder, stack.api.environment)
    prod.prepare()
    planned = prod.call(
        "plan", "-json", "-input=false", "-var-file=environments/prod.tfvars", f"-var=mlflow={json.dumps(mlflow)}"
    )
    events = events_of(planned)
    outputs = next(event["outputs"] for event in events if event["type"] == "outputs")
    assert not [event for event in events if event["@level"] == "error"]
    assert {"worker_groups", "prices", "head"} <= outputs.keys()
    summary = [event["changes"] for event in events if event["type"] == "change_summary"][-1]
    assert summary["add"] > 100 and summary["change"] == summary["remove"] == 0


def test_a_cluster_is_rendered_from_what_terraform_really_says(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    path.write_text(stack.terraform.call("output", "-json"))
    read = replace(read_outputs(str(path)), ssh_key_name="key")
    files = ray_up.render(read, image_tag="0.1.0", ssh_key=None, idle_timeout_minutes=10, token=None)
    text = files[ray_up.FILE]
    nodes = yaml.safe_load(text)["available_node_types"]
    assert {name for name in nodes if name.startswith("a100")}
    assert all(one["node_config"]["UserData"].startswith(("#!", "#cloud-config")) for one in nodes.values())


def test_outputs_are_whole(stack: Stack) -> None:
    """What `cluster render` reads has no hole, once all is made."""
    outputs = stack.outputs
    assert outputs["schema_version"] == 2 and outputs["name"] == NAME
    group = outputs["worker_groups"]["a100"]
    assert group["gpus_per_node"] == 8 and group["cpus"] == 96 and group["gpu_memory_gb"] == 40
    templates = stack.api.client("ec2").describe_launch_templates()["LaunchTemplates"]
    made = {one["LaunchTemplateId"]: one["LaunchTemplateName"] for one in templates}
    for template in [outputs["head"]["launch_template"], *group["launch_templates"]]:
        assert made[template["id"]] == template["name"] and template["version"] == "1"
    assert outputs["network"]["subnet_id"].startswith("subnet-")
    assert outputs["kubernetes"]["endpoint"].startswith("https://")
    assert all(arn.startswith("arn:aws:iam::") for arn in outputs["roles"].values())


def test_ray_takes_the_templates(stack: Stack, tmp_path: Path) -> None:
    """Ray's own launcher reads each template from AWS: purchase, interfaces, profile, and the GPUs that it counts."""
    pytest.importorskip("boto3", reason="no boto3, which Ray's AWS launcher needs")
    stack.api.client("ec2").create_key_pair(KeyName="operators")
    (tmp_path / "key").touch()
    (tmp_path / "outputs.json").write_text(json.dumps(stack.outputs))
    done = subprocess.run(
        [sys.executable, str(PINS / "ray_bootstrap.py"), "outputs.json", "key"], cwd=tmp_path, text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **stack.api.environment}, capture_output=True,
        check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    types = json.loads(done.stdout.splitlines()[-1])
    assert types.keys() == {"head", "a10g-spot", "a10g-on_demand", "a100-spot", "a100-on_demand", "cpu-on_demand"}
    assert types["a100-spot"]["resources"] | {"CPU": 96, "GPU": 8} == types["a100-spot"]["resources"]
    assert "GPU" not in types["head"]["resources"]
    nodes = {name: it["node_config"] for name, it in types.items()}
    assert nodes["a100-spot"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in nodes["a100-on_demand"]
    assert len(nodes["a100-spot"]["NetworkInterfaces"]) == 4
    assert nodes["a100-spot"]["Placement"]["GroupName"] == f"{NAME}-a100"
    for name, node in nodes.items():
        role = "head" if name == "head" else "worker"
        assert node["IamInstanceProfile"]["Arn"].endswith(f"instance-profile/{NAME}-{role}")
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert node["UserData"].startswith("#!/bin/bash")  # EC2's library encodes it: once
        assert set(node["SubnetIds"]) == {stack.outputs["network"]["subnet_id"]}


@pytest.fixture
def enforced(stack: Stack) -> Iterator[dict[str, Any]]:
    """Clients of the roles that Terraform made, with IAM enforced: `worker`, `submitter`, `mlflow`."""
    outputs = stack.outputs
    everything = stack.api.client("s3")
    for bucket in outputs["buckets"].values():
        everything.put_object(Bucket=bucket, Key="mlflow/there", Body=b"1")
    everything.create_bucket(Bucket="somebody-elses")
    everything.put_object(Bucket="somebody-elses", Key="there", Body=b"1")
    sts = stack.api.client("sts")
    clients = {}
    for role in ("worker", "submitter", "mlflow"):
        keys = sts.assume_role(RoleArn=outputs["roles"][role], RoleSessionName="drill")["Credentials"]
        clients[role] = stack.api.client("s3", keys)
        clients[f"{role} without TLS"] = stack.api.client("s3", keys, plain_http=True)
    stack.api.enforce()
    yield clients
    stack.api.enforce(on=False)
    everything.delete_object(Bucket="somebody-elses", Key="there")
    everything.delete_bucket(Bucket="somebody-elses")


def allowed(call: Callable[[], Any]) -> bool:
    """Whether IAM lets the call through."""
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("AccessDenied", "403"), error
        return False
    return True


def test_roles_may_what_they_must_and_no_more(stack: Stack, enforced: dict[str, Any]) -> None:
    buckets = {**stack.outputs["buckets"], "other": "somebody-elses"}

    def may(role: str, verb: str, kind: str, key: str = "mlflow/there") -> bool:
        client, place = enforced[role], {"Bucket": buckets[kind], "Key": key}
        calls = {
            "get": lambda: client.get_object(**place),
            "put": lambda: client.put_object(**place, Body=b"1"),
            "delete": lambda: client.delete_object(**place),
            "list": lambda: client.list_objects_v2(Bucket=buckets[kind], Prefix=key),
        }
        return allowed(calls[verb])

    worker = {kind: [verb for verb in ("get", "put", "list") if may("worker", verb, kind)] for kind in buckets}
    assert worker == {
        "raw": ["get", "list"],
        "shards": ["get", "put", "list"],
        "checkpoints": ["get", "put", "list"],
        "artifacts": ["get", "put", "list"],
        "other": [],
    }
    submitter = {kind: [verb for verb in ("get", "put", "list") if may("submitter", verb, kind)] for kind in buckets}
    assert submitter == {
        "raw": [], "shards": ["get", "list"], "checkpoints": ["get", "list"], "artifacts": ["get", "list"], "other": [],
    }  # fmt: skip
    assert may("submitter", "put", "artifacts", "submissions/code.zip")
    assert may("mlflow", "put", "artifacts", "mlflow/1/model")
    assert not may("mlflow", "put", "artifacts", "submissions/code.zip")
    assert may("mlflow", "list", "artifacts", "mlflow/") and not may("mlflow", "list", "artifacts", "submissions/")
    assert not may("mlflow", "get", "raw") and not may("mlflow", "get", "checkpoints")
    assert may("worker", "delete", "checkpoints", "old") and not may("worker", "delete", "artifacts", "old")
    assert not may("worker", "delete", "raw", "old") and not may("submitter", "delete", "checkpoints", "old")


def test_buckets_refuse_plain_http(stack: Stack, enforced: dict[str, Any]) -> None:
    place = {"Bucket": stack.outputs["buckets"]["shards"], "Key": "mlflow/there"}
    assert allowed(lambda: enforced["worker"].get_object(**place))
    assert not allowed(lambda: enforced["worker without TLS"].get_object(**place))


def test_destroy_leaves_nothing(stack: Stack) -> None:
    """Also where buckets hold old versions of objects that were deleted."""
    s3 = stack.api.client("s3")
    for bucket in stack.outputs["buckets"].values():
        place = {"Bucket": bucket, "Key": "checkpoints/old"}
        for text in (b"1", b"2"):
            s3.put_object(**place, Body=text)
        s3.delete_object(**place)
    during = inventory(stack.api)
    assert all(during[kind] > names for kind, names in stack.before.items()), "a kind of which nothing is made"
    stack.terraform.call("destroy", "-auto-approve", "-parallelism=20", *stack.options)
    after = inventory(stack.api)
    left = {kind: names - stack.before[kind] for kind, names in after.items() if names - stack.before[kind]}
    assert left == {}
    assert stack.terraform.call("state", "list") == ""


def test_checkov(checkov: Callable[[], Path | str], tmp_path: Path) -> None:
    """All of checkov's checks but those of `.checkov.yaml`, for the sizes of production."""
    python = checkov()
    if isinstance(python, str):
        pytest.skip(python)
    folder = copy_of_configuration(tmp_path / "copy")
    command = [
        "checkov",
        "-d",
        ".",
        "--framework",
        "terraform",
        "--skip-download",
        "--compact",
        "-o",
        "json",
        "--quiet",
    ]
    command += ["--config-file", ".checkov.yaml", "--download-external-modules", "false"]
    command += ["--var-file", "environments/prod.tfvars"]
    command[0] = str(python.parent / "checkov")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=400)
    report = json.loads(done.stdout)
    failed = [(one["check_id"], one["resource"]) for one in report["results"]["failed_checks"]]
    assert failed == []
    assert report["summary"]["passed"] > 150 and report["summary"]["parsing_errors"] == 0
