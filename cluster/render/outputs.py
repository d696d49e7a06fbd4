"""What `terraform output -json` says of a cluster, as the renderers need it; names are those of `infra/terraform`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import Refused

__all__ = [
    "SCHEMA_VERSION",
    "HeadNode",
    "Kubernetes",
    "LaunchTemplate",
    "Outputs",
    "Tunnels",
    "WorkerGroup",
    "read_outputs",
]

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class LaunchTemplate:
    """One way to buy a node."""

    id: str
    version: str
    purchase: str = "on_demand"
    """spot, on_demand or capacity_block."""
    price_per_hour: float | None = None
    """US dollars."""


@dataclass(frozen=True, kw_only=True)
class HeadNode:
    """The head's machine."""

    instance_type: str
    cpus: int
    memory_gb: int
    price_per_hour: float | None
    user_data: str
    """The script of the first boot."""
    instance_profile_arn: str
    subnet_id: str
    launch_template: LaunchTemplate


@dataclass(frozen=True, kw_only=True)
class WorkerGroup:
    """Machines of one kind; `launch_templates` stand in the order in which they should be tried."""

    name: str
    instance_type: str
    cpus: int
    memory_gb: int
    gpu_type: str | None
    gpus_per_node: int
    min_nodes: int
    max_nodes: int
    efa_interfaces: int
    cache_dir: str | None
    user_data: str
    """The script of the first boot."""
    instance_profile_arn: str
    subnet_id: str
    launch_templates: tuple[LaunchTemplate, ...]


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """The EKS cluster, where there is one."""

    cluster_name: str
    namespace: str
    service_account: str


@dataclass(frozen=True, kw_only=True)
class Tunnels:
    """Commands of Session Manager, which a person's shell runs as they are."""

    dashboard: str
    """The head's dashboard and Jobs API on 127.0.0.1:8265."""
    mlflow: str
    """MLflow on 127.0.0.1:8443, for its own name."""
    ssh_proxy: str
    """As ssh's ProxyCommand, where the host is an instance's id."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """One cluster's infrastructure."""

    name: str
    region: str
    account_id: str
    zone: str
    security_group_id: str
    tunnels: Tunnels | None
    """None: people's machines reach the head's address."""
    ssh_user: str
    ssh_key_name: str | None
    head: HeadNode
    worker_groups: tuple[WorkerGroup, ...]
    buckets: Mapping[str, str]
    ray_token_secret_arn: str
    mlflow_uri: str
    mlflow_image: str
    """The server's, with its tag."""
    mlflow_log_group: str
    train_image: str
    """The repository's URL, without a tag."""
    kubernetes: Kubernetes | None
    prices: Mapping[str, Any]


def read_outputs(path: str) -> Outputs:
    """Read what ``terraform output -json > PATH`` wrote.

    Raises:
        Refused: there is no such file, it is no such file, or of another version.
    """
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}: write it by terraform output -json > {path}") from error
    except json.JSONDecodeError as error:
        raise Refused(f"{path}: no JSON ({error}): write it by terraform output -json > {path}") from error
    if not isinstance(raw, dict) or not all(isinstance(one, dict) and "value" in one for one in raw.values()):
        raise Refused(f"{path}: not what terraform output -json writes: each name needs a 'value'")
    values = {name: one["value"] for name, one in raw.items()}
    if not values:
        raise Refused(f"{path}: Terraform has made nothing yet: terraform apply, then terraform output -json > {path}")
    if values.get("schema_version") != SCHEMA_VERSION:
        found = values.get("schema_version", "missing")
        raise Refused(f"{path}: schema_version is {found}, and this version reads {SCHEMA_VERSION}")
    try:
        return _outputs(values)
    except (KeyError, TypeError) as error:
        raise Refused(
            f"{path}: {error} is missing or of another shape: apply infra/terraform of this version"
        ) from error


def _outputs(values: Mapping[str, Any]) -> Outputs:
    return Outputs(
        name=values["name"],
        region=values["region"],
        account_id=values["account_id"],
        zone=values["network"]["zone"],
        security_group_id=values["network"]["security_group_id"],
        tunnels=_tunnels(values["access"]["session_manager"]),
        ssh_user=values["ssh"]["user"],
        ssh_key_name=values["ssh"]["key_name"],
        head=_head(values["head"]),
        worker_groups=tuple(_group(name, one) for name, one in sorted(values["worker_groups"].items())),
        buckets=values["buckets"],
        ray_token_secret_arn=values["ray_token_secret_arn"],
        mlflow_uri=values["mlflow"]["tracking_uri"],
        mlflow_image=values["mlflow"]["image"],
        mlflow_log_group=values["mlflow"]["log_group"],
        train_image=values["images"]["train"],
        kubernetes=_kubernetes(values.get("kubernetes")),  # Terraform lists no output that is null
        prices=values["prices"],
    )


def _tunnels(one: Mapping[str, Any] | None) -> Tunnels | None:
    return None if one is None else Tunnels(**{name: one[name] for name in ("dashboard", "mlflow", "ssh_proxy")})


def _head(one: Mapping[str, Any]) -> HeadNode:
    return HeadNode(
        instance_type=one["instance_type"],
        cpus=one["cpus"],
        memory_gb=one["memory_gb"],
        price_per_hour=one["price_per_hour"],
        user_data=one["user_data"],
        instance_profile_arn=one["instance_profile_arn"],
        subnet_id=one["subnet_id"],
        launch_template=_template(one["launch_template"]),
    )


def _group(name: str, one: Mapping[str, Any]) -> WorkerGroup:
    return WorkerGroup(
        name=name,
        instance_type=one["instance_type"],
        cpus=one["cpus"],
        memory_gb=one["memory_gb"],
        gpu_type=one["gpu_type"],
        gpus_per_node=one["gpus_per_node"],
        min_nodes=one["min_nodes"],
        max_nodes=one["max_nodes"],
        efa_interfaces=one["efa_interfaces"],
        cache_dir=one["cache_dir"],
        user_data=one["user_data"],
        instance_profile_arn=one["instance_profile_arn"],
        subnet_id=one["subnet_id"],
        launch_templates=tuple(_template(template) for template in one["launch_templates"]),
    )


def _template(one: Mapping[str, Any]) -> LaunchTemplate:
    return LaunchTemplate(
        id=one["id"],
        version=str(one["version"]),
        purchase=one.get("purchase", "on_demand"),
        price_per_hour=one.get("price_per_hour"),
    )


def _kubernetes(one: Mapping[str, Any] | None) -> Kubernetes | None:
    if one is None:
        return None
    return Kubernetes(
        cluster_name=one["cluster_name"], namespace=one["namespace"], service_account=one["service_account"]
    )
