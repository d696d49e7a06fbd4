"""The steps from an empty AWS account to a head that answers: which are missing, each with what makes it.

They are those of ``docs/cluster.md``, in its order; AWS is asked by whatever credentials this machine has.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.auth import find_token
from cluster.aws import Account
from cluster.errors import ClusterError
from cluster.quotas import allowed_by, needs_of, quotas_of, taken_by_others, too_small
from cluster.render.outputs import Outputs
from cluster.render.ray_up import TUNNEL
from cluster.submission.jobs_api import DASHBOARD_PORT, JobsApi

__all__ = ["Missing", "missing_steps"]

_APPLY = "terraform -chdir=infra/terraform apply -var-file=environments/ENVIRONMENT.tfvars"


@dataclass(frozen=True)
class Missing:
    """A step that has not been done, or not to its end."""

    step: str
    wrong: str
    cure: str


def missing_steps(outputs: Outputs, *, image_tag: str | None, address: str | None) -> list[Missing]:
    """What is missing in the account and on this machine; only the first thing where nothing can be asked.

    Args:
        image_tag: of the training image; None: the machine image has Ray itself.
        address: of the Jobs API; None: RAY_API_SERVER_ADDRESS.

    Raises:
        Refused: this machine's role may not ask for something, or AWS can't be reached.
    """
    account = Account(outputs.region)
    if wrong := account.why_not(outputs.account_id):
        cure = "aws configure, or aws sso login, with a role of that account; AWS_PROFILE names one of several"
        return [Missing("credentials", wrong, cure)]
    checks = (
        _quotas(account, outputs),
        _buckets(account, outputs),
        _images(account, outputs, image_tag),
        _token(account, outputs),
        _key(outputs),
        _mlflow(account, outputs),
        _groups(outputs),
        _head(account, outputs, address),
    )
    return [one for found in checks for one in found]


def _quotas(account: Account, outputs: Outputs) -> Iterator[Missing]:
    needs = needs_of(outputs)
    quotas = quotas_of(needs)
    for one in too_small(needs, allowed_by(account, quotas), taken_by_others(account, outputs.name, quotas)):
        taken = f", {one.taken} of them taken by other machines" if one.taken else ""
        wrong = f"{one.quota.name} ({one.quota.code}): {one.allowed} vCPUs{taken}, and {one.needed} are needed"
        asked = f"--service-code ec2 --quota-code {one.quota.code} --desired-value {one.needed + one.taken}"
        cure = (
            f"aws service-quotas request-service-quota-increase --region {outputs.region} {asked}; AWS decides, in "
            "hours or days. Or a smaller max_nodes in worker_groups, and apply"
        )
        yield Missing("quotas", f"{wrong}: {one.what}", cure)


def _buckets(account: Account, outputs: Outputs) -> Iterator[Missing]:
    for kind, bucket in sorted(outputs.buckets.items()):
        if account.ask("s3", "head_bucket", Bucket=bucket) is None:
            yield Missing("infrastructure", f"the bucket {bucket} ({kind}) is not there", _APPLY)


def _images(account: Account, outputs: Outputs, image_tag: str | None) -> Iterator[Missing]:
    trained = [] if image_tag is None else [(f"{outputs.train_image}:{image_tag}", "-f cluster/image/Containerfile .")]
    for image, source in [(outputs.mlflow_image, "infra/terraform/modules/mlflow/image"), *trained]:
        address, _, tag = image.rpartition(":")
        name = address.partition("/")[2]
        asked = {"repositoryName": name, "imageIds": [{"imageTag": tag}]}
        if account.ask("ecr", "describe_images", **asked) is None:
            cure = f"docker build -t {image} {source} && docker push {image}"
            yield Missing("images", f"{name}:{tag} is not in the registry", cure)


def _token(account: Account, outputs: Outputs) -> Iterator[Missing]:
    arn = outputs.ray_token_secret_arn
    if account.ask("secretsmanager", "get_secret_value", SecretId=arn) is None:
        cure = f"aws secretsmanager put-secret-value --secret-id {arn} --secret-string $(openssl rand -hex 32)"
        yield Missing("the token", "its secret has no value", cure)
    if find_token() is None:
        cure = (
            f"(umask 077 && aws secretsmanager get-secret-value --secret-id {arn} --query SecretString --output text "
            "> ~/.basereward.token); export RAY_AUTH_TOKEN_PATH=~/.basereward.token"
        )
        yield Missing("the token", "this machine has no copy of it", cure)


def _key(outputs: Outputs) -> Iterator[Missing]:
    name = outputs.ssh_key_name
    if name is None:
        yield Missing(
            "the SSH key", "key_name is null in the tfvars: Ray's launcher logs in by SSH", f"set it, {_APPLY}"
        )
    elif not Path(f"~/.ssh/{name}.pem").expanduser().is_file():
        cure = (
            f"put it there, or say ssh_key=FILE to cluster render; aws ec2 create-key-pair --key-name {name} makes one"
        )
        yield Missing("the SSH key", f"no ~/.ssh/{name}.pem here", cure)


def _mlflow(account: Account, outputs: Outputs) -> Iterator[Missing]:
    asked = {"cluster": f"{outputs.name}-mlflow", "services": ["mlflow"]}
    answer = account.ask("ecs", "describe_services", **asked)
    services = [] if answer is None else [one for one in answer["services"] if one["status"] == "ACTIVE"]
    if not services:
        yield Missing("MLflow", "its service is not there", _APPLY)
    for one in services:
        if one["runningCount"] < 1:
            cure = f"push its image if that is missing too; aws logs tail {outputs.mlflow_log_group} says why it ends"
            yield Missing("MLflow", f"0 of {one['desiredCount']} servers run", cure)


def _groups(outputs: Outputs) -> Iterator[Missing]:
    if sum(group.max_nodes for group in outputs.worker_groups) == 0:
        yield Missing("workers", "no group of workers may have a node", f"raise max_nodes in worker_groups, {_APPLY}")
    elif not any(group.gpus_per_node and group.max_nodes for group in outputs.worker_groups):
        yield Missing("workers", "no group with GPUs may have a node", f"add one to worker_groups, {_APPLY}")


def _head(account: Account, outputs: Outputs, address: str | None) -> Iterator[Missing]:
    tags = {"tag:ray-cluster-name": outputs.name, "tag:ray-node-type": "head", "instance-state-name": "running"}
    filters = [{"Name": name, "Values": [value]} for name, value in tags.items()]
    answer = account.ask("ec2", "describe_instances", Filters=filters)
    heads = [one for group in answer["Reservations"] for one in group["Instances"]]
    if not heads:
        render = "basereward cluster render ray-up --from-terraform outputs.json"
        cure = f"{render} && basereward cluster up rendered/ray-up.yaml"
        yield Missing("the head", "none is running", cure)
        return
    if why := _unanswered(address):
        there = heads[0]["PrivateIpAddress"]
        way = f"sh rendered/{TUNNEL} & sleep 5;" if outputs.tunnels else f"come into the network of {there};"
        at = "127.0.0.1" if outputs.tunnels else there
        cure = f"{way} export RAY_API_SERVER_ADDRESS=http://{at}:{DASHBOARD_PORT}"
        yield Missing("the head", f"it runs, and does not answer: {why}", cure)


def _unanswered(address: str | None) -> str | None:
    """Why the Jobs API gives no list of nodes; None: it does."""
    if address is None and not os.environ.get("RAY_API_SERVER_ADDRESS"):
        return "RAY_API_SERVER_ADDRESS is not set"
    try:
        JobsApi(address).nodes()
    except ClusterError as error:
        return str(error)
    return None
