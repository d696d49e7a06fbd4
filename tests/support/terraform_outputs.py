"""Terraform's outputs as `terraform output -json` writes them, for a cluster that is not there."""

import json
from pathlib import Path
from typing import Any

ACCOUNT = "123456789012"
BOOT = "#!/bin/bash\nset -eu\ntouch /run/booted\n"


def outputs() -> dict[str, Any]:
    """A head, a group with EFA bought as spot and on demand, and a small one without; with EKS."""

    def template(kind: str, purchase: str, price: float) -> dict[str, Any]:
        return {
            "id": f"lt-{kind}{purchase[:2]}",
            "name": kind,
            "version": "3",
            "purchase": purchase,
            "price_per_hour": price,
        }

    def profile(name: str) -> str:
        return f"arn:aws:iam::{ACCOUNT}:instance-profile/basereward-dev-{name}"

    common = {"instance_profile_arn": profile("worker"), "subnet_id": "subnet-1", "min_nodes": 0, "user_data": BOOT}
    return {
        "schema_version": 2,
        "name": "basereward-dev",
        "environment": "dev",
        "region": "us-east-1",
        "account_id": ACCOUNT,
        "network": {"zone": "us-east-1a", "subnet_id": "subnet-1", "security_group_id": "sg-1"},
        "access": {"session_manager": None, "vpn_endpoint_id": None, "peering_connection_id": None},
        "ssh": {"user": "ubuntu", "key_name": "team"},
        "head": {
            "instance_type": "m6i.2xlarge",
            "cpus": 8,
            "memory_gb": 32,
            "price_per_hour": 0.384,
            "user_data": BOOT,
            "instance_profile_arn": profile("head"),
            "subnet_id": "subnet-1",
            "launch_template": {"id": "lt-head", "name": "head", "version": "1"},
        },
        "worker_groups": {
            "h100": {
                **common,
                "instance_type": "p5.48xlarge",
                "cpus": 192,
                "memory_gb": 2048,
                "gpu_type": "H100",
                "gpus_per_node": 8,
                "max_nodes": 8,
                "efa_interfaces": 32,
                "cache_dir": "/mnt/cache",
                "launch_templates": [template("h100", "spot", 30.0), template("h100", "on_demand", 55.04)],
            },
            "a10g": {
                **common,
                "instance_type": "g5.12xlarge",
                "cpus": 48,
                "memory_gb": 192,
                "gpu_type": "A10G",
                "gpus_per_node": 4,
                "max_nodes": 2,
                "efa_interfaces": 0,
                "cache_dir": None,
                "launch_templates": [template("a10g", "on_demand", 5.672)],
            },
        },
        "buckets": {"raw": "raw", "shards": "shards", "checkpoints": "checkpoints", "artifacts": "artifacts"},
        "ray_token_secret_arn": f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:basereward-dev/ray-token-AbCdEf",
        "mlflow": {
            "tracking_uri": "https://mlflow.dev.ml.example.com",
            "image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/basereward-dev/mlflow:1",
            "log_group": "/basereward-dev/mlflow",
        },
        "images": {"train": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/basereward-dev/train"},
        "kubernetes": {"cluster_name": "basereward-dev", "namespace": "training", "service_account": "worker"},
        "prices": {"currency": "USD", "idle_per_hour": 1.2, "max_per_hour": 460.0},
    }


TUNNELS = {
    "find_head": "aws ec2 describe-instances",
    "dashboard": 'HEAD=$(echo i-1 10.0.0.5) && aws ssm start-session --target "${HEAD%% *}"',
    "mlflow": "aws ssm start-session --parameters host=mlflow.dev.ml.example.com",
    "ssh_proxy": "aws ssm start-session --target %h --parameters portNumber=%p",
}


def write_outputs(path: Path, **changed: Any) -> str:
    """The file; `changed` outputs take the place of those above, and Terraform lists none that is null."""
    values = {name: one for name, one in (outputs() | changed).items() if one is not None}
    path.write_text(json.dumps({name: {"sensitive": False, "type": "x", "value": one} for name, one in values.items()}))
    return str(path)
