"""The YAML of Ray's launcher (`ray up`) on EC2: a head without work, workers by group and by how they are bought.

A group's launch templates are node types of their own with a `priority`: Ray's autoscaler takes the first, and the
next where a launch has just failed, as spot launches do when there is no capacity.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.errors import Refused
from cluster.render.common import (
    AUTOSCALER_HEALTH,
    CACHE_ENV,
    DASHBOARD_PORT,
    EFA_ENV,
    GCS_PORT,
    MAX_CPUS_LABEL,
    MAX_GPUS_LABEL,
    RAY_ENV,
    to_yaml,
)
from cluster.render.outputs import LaunchTemplate, Outputs, Tunnels, WorkerGroup

__all__ = ["FILE", "TUNNEL", "render"]

FILE = "ray-up.yaml"
TUNNEL = "tunnel.sh"
HEAD = "head"
CODE = "~/basereward"  # what `ray up` copies to each node
OBJECT_MANAGER_PORT = 8076
RUN_OPTIONS = ["--ulimit nofile=65536:65536", "--ulimit memlock=-1:-1", "--security-opt no-new-privileges"]
EFA_DEVICES = "--device=/dev/infiniband"
_SUPERVISE = f"sh {CODE}/cluster/supervise.sh {CODE}/node"
_STOP = f"{_SUPERVISE} stop"
_ADDRESS = "$(hostname -I | cut -d ' ' -f 1)"


def render(
    outputs: Outputs, *, image_tag: str | None, ssh_key: str | None, idle_timeout_minutes: int, token: str | None
) -> dict[str, str]:
    """`ray-up.yaml` for Ray 2.60, checked by Ray's own validation; `tunnel.sh` where people come by Session Manager.

    Args:
        image_tag: tag of the training image in the cluster's registry; None: the machine image has Ray itself.
        ssh_key: the private key of ``ssh.key_name``; None: ``~/.ssh/KEY_NAME.pem``.
        idle_timeout_minutes: after so long without work a worker is given back.
        token: a file with the token to copy to the nodes; None: they read it from Secrets Manager themselves.

    Raises:
        Refused: something that the launcher needs is not in the outputs, or Ray refuses the result.
    """
    if outputs.ssh_key_name is None:
        raise Refused("ssh.key_name is null: Ray's launcher logs in by SSH; set key_name in the tfvars and apply")
    types: dict[str, Any] = {HEAD: _head(outputs)}
    for group in outputs.worker_groups:
        for place, template in enumerate(group.launch_templates):
            name = f"{group.name}-{template.purchase.replace('_', '-')}"
            types[name] = _worker(outputs, group, template, place, len(group.launch_templates) - place)
            if image_tag is not None and group.efa_interfaces:
                types[name]["docker"] = {"worker_run_options": [*_run_options(outputs), EFA_DEVICES]}
    image = None if image_tag is None else f"{outputs.train_image}:{image_tag}"
    config: dict[str, Any] = {
        "cluster_name": outputs.name,
        "max_workers": sum(group.max_nodes for group in outputs.worker_groups),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_timeout_minutes,
        "provider": {
            "type": "aws",
            "region": outputs.region,
            "availability_zone": outputs.zone,
            "use_internal_ips": True,
            "cache_stopped_nodes": False,
        },
        "auth": _auth(outputs, ssh_key),
        **({} if image is None else {"docker": _docker(outputs, image)}),
        "available_node_types": types,
        "head_node_type": HEAD,
        "file_mounts": _file_mounts(token),
        "rsync_exclude": ["**/__pycache__", "**/*.pyc"],
        "initialization_commands": [] if image is None else [_login(outputs, image)],
        "setup_commands": _setup(outputs, token),
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [_STOP, "ray stop", _start_head(outputs)],
        "worker_start_ray_commands": [_STOP, "ray stop", _start_worker(outputs)],
    }
    _check(config)
    title = f"{outputs.name}: ray up; made by basereward cluster render from Terraform's outputs, so change those"
    files = {FILE: to_yaml(title, config)}
    return files if outputs.tunnels is None else files | {TUNNEL: _tunnel(outputs.name, outputs.tunnels)}


def _auth(outputs: Outputs, ssh_key: str | None) -> dict[str, Any]:
    auth: dict[str, Any] = {
        "ssh_user": outputs.ssh_user,
        "ssh_private_key": ssh_key or f"~/.ssh/{outputs.ssh_key_name}.pem",
    }
    if outputs.tunnels is not None:  # for the person's machine alone: Ray leaves both out of what it copies to the head
        auth |= {"ssh_proxy_command": outputs.tunnels.ssh_proxy, "ssh_proxy_use_node_id": True}
    return auth


def _tunnel(name: str, tunnels: Tunnels) -> str:
    return f"""#!/bin/sh
# {name}: a tunnel to its head by AWS's Session Manager, until it is ended. Needs aws and its session-manager-plugin.
#   sh {TUNNEL}            the Jobs API and dashboard: http://127.0.0.1:{DASHBOARD_PORT}
#   sh {TUNNEL} mlflow     MLflow by its name, port 8443, where /etc/hosts has that name as 127.0.0.1
set -eu
case "${{1:-dashboard}}" in
dashboard)
  {tunnels.dashboard}
  ;;
mlflow)
  {tunnels.mlflow}
  ;;
*)
  echo "$1: there are dashboard and mlflow" >&2
  exit 2
  ;;
esac
"""


def _head(outputs: Outputs) -> dict[str, Any]:
    head = outputs.head
    node = {
        "LaunchTemplate": {"LaunchTemplateId": head.launch_template.id, "Version": head.launch_template.version},
        "InstanceType": head.instance_type,
        "UserData": head.user_data,  # Ray reads a template's own encoded, and encodes it again
        "IamInstanceProfile": {"Arn": head.instance_profile_arn},
        "KeyName": outputs.ssh_key_name,
        "SubnetIds": [head.subnet_id],
        "SecurityGroupIds": [outputs.security_group_id],
    }
    return {"resources": {"CPU": 0}, "max_workers": 0, "node_config": node}


def _worker(
    outputs: Outputs, group: WorkerGroup, template: LaunchTemplate, place: int, priority: int
) -> dict[str, Any]:
    node: dict[str, Any] = {
        "LaunchTemplate": {"LaunchTemplateId": template.id, "Version": template.version},
        "InstanceType": group.instance_type,
        "UserData": group.user_data,
        "IamInstanceProfile": {"Arn": group.instance_profile_arn},
        "KeyName": outputs.ssh_key_name,
    }
    if not group.efa_interfaces:  # with EFA the template's interfaces carry subnet and group, and Ray refuses both
        node |= {"SubnetIds": [group.subnet_id], "SecurityGroupIds": [outputs.security_group_id]}
    resources = {"CPU": group.cpus}
    if group.gpus_per_node:
        resources["GPU"] = group.gpus_per_node
    if group.gpu_type:
        resources[f"accelerator_type:{group.gpu_type}"] = 1
    return {
        "min_workers": group.min_nodes if place == 0 else 0,
        "max_workers": group.max_nodes,
        "priority": priority,
        "resources": resources,
        "node_config": node,
    }


def _docker(outputs: Outputs, image: str) -> dict[str, Any]:
    return {
        "image": image,
        "container_name": "basereward",
        "pull_before_run": True,
        "head_run_options": RUN_OPTIONS,
        "worker_run_options": _run_options(outputs),
    }


def _run_options(outputs: Outputs) -> list[str]:
    """Of every worker. Those with EFA have one more: Docker starts no container with a device that is not there."""
    caches = {group.cache_dir for group in outputs.worker_groups if group.cache_dir}
    return [*RUN_OPTIONS, *(f"-v {folder}:{folder}" for folder in sorted(caches))]


def _file_mounts(token: str | None) -> dict[str, str]:
    package = Path(__file__).parents[1]
    mounts = {f"{CODE}/cluster": str(package)}
    if token is not None:
        path = Path(token).expanduser()
        if not path.is_file():
            raise Refused(f"token={token}: no such file: leave it out, and nodes read it from Secrets Manager")
        if path.stat().st_mode & 0o077:
            raise Refused(f"token={token} may be read by others: chmod 600 {token}")
        mounts["~/.ray/auth_token"] = str(path.absolute())
    return mounts


def _login(outputs: Outputs, image: str) -> str:
    registry = image.partition("/")[0]
    password = f"aws ecr get-login-password --region {outputs.region}"
    return f"{password} | docker login --username AWS --password-stdin {registry}"


def _setup(outputs: Outputs, token: str | None) -> list[str]:
    if token is not None:
        return ["chmod 700 ~/.ray && chmod 600 ~/.ray/auth_token"]
    arn = shlex.quote(outputs.ray_token_secret_arn)
    return [f"cd {CODE} && umask 077 && python -m cluster.nodes.token {arn} {outputs.region}"]


def _start_head(outputs: Outputs) -> str:
    cpus = sum(group.cpus * group.max_nodes for group in outputs.worker_groups)
    gpus = sum(group.gpus_per_node * group.max_nodes for group in outputs.worker_groups)
    return (
        f"ulimit -n 65536; {_exports(RAY_ENV | AUTOSCALER_HEALTH)} {_SUPERVISE} ray start --block --head "
        f"--port={GCS_PORT} --object-manager-port={OBJECT_MANAGER_PORT} --dashboard-host={_ADDRESS} "
        f"--dashboard-port={DASHBOARD_PORT} --autoscaling-config=~/ray_bootstrap_config.yaml --num-cpus=0 --num-gpus=0 "
        f"--labels={MAX_CPUS_LABEL}={cpus},{MAX_GPUS_LABEL}={gpus}"
    )


def _start_worker(outputs: Outputs) -> str:
    # One command for all groups: a node takes the first of the folders that it has.
    caches = sorted({group.cache_dir for group in outputs.worker_groups if group.cache_dir})
    env = RAY_ENV | EFA_ENV | ({CACHE_ENV: ":".join(caches)} if caches else {})
    return (
        f"ulimit -n 65536; ulimit -l unlimited || true; {_exports(env)} {_SUPERVISE} ray start --block "
        f"--address=$RAY_HEAD_IP:{GCS_PORT} --object-manager-port={OBJECT_MANAGER_PORT}"
    )


def _exports(env: Mapping[str, str]) -> str:
    return " ".join(["env", *(f"{name}={shlex.quote(value)}" for name, value in env.items())])


def _check(config: dict[str, Any]) -> None:
    """Ray's own validation; it fills in defaults, so it gets a copy."""
    import copy

    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(copy.deepcopy(config)))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.absolute_path)
        raise Refused(f"Ray's launcher refuses {place or 'the file'}: {error.message}") from error
    except ValueError as error:
        raise Refused(f"Ray's launcher refuses the file: {error}") from error
