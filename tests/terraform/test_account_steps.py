"""Drill: `basereward cluster doctor` on a local AWS API: an account with everything, and each thing taken away."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from terraform_outputs import ACCOUNT, outputs, write_outputs
from terraform_tools import AwsApi, aws_api, python_with

from jobs.cli.main import main

pytestmark = pytest.mark.drill

NAME = "basereward-dev"
BUCKETS = ("raw", "shards", "checkpoints", "artifacts")
VCPUS = {"L-1216C47A": 8, "L-DB2E81BA": 2 * 48, "L-C4BD4855": 8 * 192}
"""Of the head, the group a10g, and the group h100 as spot; nothing for the on-demand machines that come next."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsApi]:
    python = python_with("moto")
    if isinstance(python, str):
        pytest.skip(python)
    with aws_api(python, tmp_path_factory.mktemp("api")) as one:
        yield one


@pytest.fixture(scope="module")
def made(api: AwsApi) -> dict[str, Any]:
    """What there is in the account: ids that tests need."""
    for bucket in BUCKETS:
        api.client("s3").create_bucket(Bucket=bucket)
    for image in ("mlflow:1", "train:0.1.0"):
        name, _, tag = image.partition(":")
        api.client("ecr").create_repository(repositoryName=f"{NAME}/{name}")
        push(api, f"{NAME}/{name}", tag)
    secret = api.client("secretsmanager").create_secret(Name=f"{NAME}/ray-token", SecretString="t" * 48)
    ecs = api.client("ecs")
    ecs.create_cluster(clusterName=f"{NAME}-mlflow")
    image = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/{NAME}/mlflow:1"
    ecs.register_task_definition(
        family="mlflow", containerDefinitions=[{"name": "mlflow", "image": image, "memory": 1}]
    )
    serve(api)
    for code, vcpus in VCPUS.items():
        allow(api, code, vcpus)
    return {"token": secret["ARN"], "head": start_head(api)}


def push(api: AwsApi, repository: str, tag: str) -> None:
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"})
    api.client("ecr").put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)


def allow(api: AwsApi, code: str, vcpus: int) -> None:
    """As AWS does some time after it was asked."""
    quotas = api.client("service-quotas")
    quotas.request_service_quota_increase(ServiceCode="ec2", QuotaCode=code, DesiredValue=vcpus)


def serve(api: AwsApi) -> None:
    api.client("ecs").create_service(
        cluster=f"{NAME}-mlflow", serviceName="mlflow", taskDefinition="mlflow", desiredCount=1
    )


def start_head(api: AwsApi) -> str:
    return start(api, "m5.large", {"ray-cluster-name": NAME, "ray-node-type": "head"})


def start(api: AwsApi, kind: str, tags: dict[str, str]) -> str:
    """The id of a machine that runs from now on."""
    told = [{"Key": key, "Value": value} for key, value in tags.items()]
    asked = {"ImageId": "ami-0dbdd5d997734a735", "MinCount": 1, "MaxCount": 1, "InstanceType": kind}
    specifications = [{"ResourceType": "instance", "Tags": told}]
    started = api.client("ec2").run_instances(**asked, TagSpecifications=specifications)
    return str(started["Instances"][0]["InstanceId"])


@pytest.fixture
def doctor(
    api: AwsApi,
    made: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """What the command prints on a machine with token and key; it ends with 1, since no Ray is behind the head."""
    for name, value in {**api.environment, "HOME": str(tmp_path), "RAY_AUTH_TOKEN": "t" * 48}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "team.pem").touch()

    def run(*words: str, code: int = 1, **changed: Any) -> str:
        path = write_outputs(tmp_path / "outputs.json", **({"ray_token_secret_arn": made["token"]} | changed))
        assert main(["cluster", "doctor", "--from-terraform", path, *words]) == code
        printed = capsys.readouterr()
        return " ".join((printed.out + printed.err).replace("│", " ").split())

    return run


def test_an_account_with_everything_lacks_the_way_to_the_head(doctor: Callable[..., str]) -> None:
    printed = doctor()
    assert "1 steps are missing" in printed and "RAY_API_SERVER_ADDRESS is not set" in printed
    assert "connect" in doctor("--address", "http://127.0.0.1:9").lower()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"account_id": "999999999999"}, "missing: credentials: they are of account 123456789012"),
        ({"buckets": dict.fromkeys(BUCKETS, "nobodys")}, "missing: infrastructure: the bucket nobodys (raw)"),
        ({"ssh": {"user": "ubuntu", "key_name": "hers"}}, "missing: the SSH key: no ~/.ssh/hers.pem here"),
        ({"ssh": {"user": "ubuntu", "key_name": None}}, "missing: the SSH key: key_name is null"),
        ({"name": "another"}, "missing: MLflow: its service is not there"),
        ({"name": "another"}, "missing: the head: none is running"),
        ({"worker_groups": {}}, "missing: workers: no group of workers may have a node"),
        (
            {"ray_token_secret_arn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:x-AbCdEf"},
            "missing: the token: its secret has no value",
        ),
    ],
)
def test_each_missing_step_is_named_with_its_cure(
    doctor: Callable[..., str], changed: dict[str, Any], told: str
) -> None:
    printed = doctor(**changed)
    assert told in printed
    assert printed.count("cure: ") == printed.count("missing: ")


def test_a_quota_that_is_too_small_is_asked_for(api: AwsApi, doctor: Callable[..., str]) -> None:
    """In a cluster with eight nodes of a group more; what the doctor says to run makes it well."""
    groups = outputs()["worker_groups"]
    more = {"more": groups["a10g"] | {"max_nodes": 8}, **groups}
    printed = doctor(worker_groups=more)
    assert (
        "quotas: G machines on demand (L-DB2E81BA): 96 vCPUs, and 480 are needed: a10g 2 x 48, more 8 x 48" in printed
    )
    assert printed.count("missing: quotas") == 1
    [cure] = re.findall(r"cure: (aws service-quotas [^;]*);", printed)
    try:
        subprocess.run(["bash", "-ec", cure], check=True, capture_output=True)
        assert "quotas" not in doctor(worker_groups=more)
    finally:
        allow(api, "L-DB2E81BA", VCPUS["L-DB2E81BA"])


def test_machines_of_others_take_from_a_quota(api: AwsApi, doctor: Callable[..., str]) -> None:
    ec2, theirs = api.client("ec2"), start(api, "g5.12xlarge", {"Name": "somebody's"})
    ours = start(api, "g5.12xlarge", {"ray-cluster-name": NAME})
    try:
        printed = doctor()
        assert "G machines on demand (L-DB2E81BA): 96 vCPUs, 48 of them taken by other machines, and 96" in printed
        assert "--quota-code L-DB2E81BA --desired-value 144;" in printed
    finally:
        ec2.terminate_instances(InstanceIds=[theirs, ours])
    assert "quotas" not in doctor()


def test_an_image_that_was_not_pushed(doctor: Callable[..., str]) -> None:
    assert f"missing: images: {NAME}/train:9.9 is not in the registry" in doctor("image=9.9")
    assert "images" not in doctor("image=none")


def test_a_server_without_its_image_does_not_run(api: AwsApi, doctor: Callable[..., str]) -> None:
    ecs, ecr = api.client("ecs"), api.client("ecr")
    ecs.delete_service(cluster=f"{NAME}-mlflow", service="mlflow", force=True)
    ecr.batch_delete_image(repositoryName=f"{NAME}/mlflow", imageIds=[{"imageTag": "1"}])
    serve(api)
    try:
        printed = doctor()
        assert "missing: MLflow: 0 of 1 servers run" in printed and "/mlflow:1 is not in the registry" in printed
        assert "/basereward-dev/mlflow says why it ends" in printed
    finally:
        ecs.delete_service(cluster=f"{NAME}-mlflow", service="mlflow", force=True)
        push(api, f"{NAME}/mlflow", "1")
        serve(api)


def test_this_machine_has_no_copy_of_the_token(doctor: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    assert "missing: the token: this machine has no copy of it" in doctor()


def test_a_role_that_may_not_ask_is_told_so(
    api: AwsApi, doctor: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    iam, sts = api.client("iam"), api.client("sts")
    role = iam.create_role(RoleName="nobody", AssumeRolePolicyDocument=json.dumps({"Statement": []}))["Role"]["Arn"]
    keys = sts.assume_role(RoleArn=role, RoleSessionName="drill")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
    api.enforce()
    try:
        assert "this role may not call service-quotas:get_service_quota" in doctor(code=2)
    finally:
        api.enforce(on=False)
