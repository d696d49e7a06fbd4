"""Ray's own view of a cluster: `python ray_bootstrap.py outputs.json key_file` prints its node types as JSON.

Takes the outputs as a launcher's file would use them, lets Ray fill in what it asks AWS for, and launches nothing.
"""

import json
import sys
from typing import Any

from ray.autoscaler._private.commands import _bootstrap_config


def node_config(it: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    """What README.md says of a launch template."""
    launch = {"LaunchTemplateId": template["id"], "Version": template["version"]}
    place = {} if it.get("efa_interfaces") else {"SubnetIds": [it["subnet_id"]]}
    return {"LaunchTemplate": launch, "InstanceType": it["instance_type"], "UserData": it["user_data"], **place}


def cluster(outputs: dict[str, Any], key_file: str) -> dict[str, Any]:
    """A launcher's file with a node type for each launch template."""
    types = {"head": {"node_config": node_config(outputs["head"], outputs["head"]["launch_template"])}}
    for name, group in outputs["worker_groups"].items():
        for template in group["launch_templates"]:
            types[f"{name}-{template['purchase']}"] = {
                "node_config": node_config(group, template), "min_workers": 0, "max_workers": group["max_nodes"],
            }  # fmt: skip
    return {
        "cluster_name": outputs["name"],
        "max_workers": 20,
        "provider": {"type": "aws", "region": outputs["region"], "use_internal_ips": True},
        "auth": {"ssh_user": outputs["ssh"]["user"], "ssh_private_key": key_file},
        "head_node_type": "head",
        "available_node_types": types,
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        config = cluster(json.load(file), sys.argv[2])
    # It validates too, once it has counted the GPUs.
    print(json.dumps(_bootstrap_config(config, no_config_cache=True)["available_node_types"], default=str))
