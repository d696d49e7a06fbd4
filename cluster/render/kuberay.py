"""KubeRay 1.7's objects for the EKS cluster: RayCluster, RayJob and RayService, and Kueue's queues for whole gangs.

A DeepSpeed group is useless in part, so the RayJob has a fixed number of workers, is suspended until Kueue has room for
the head and all of them at once, and is ended when they don't come up in time. Tokens are on (`authOptions`): KubeRay
makes a secret with a token of its own and gives it to the pods.
"""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

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
from cluster.render.kuberay_schema import check
from cluster.render.outputs import Kubernetes, Outputs, WorkerGroup

__all__ = ["render"]

RAY_VERSION = "2.60.0"
QUEUE = "basereward"
SECRET = "basereward-env"  # noqa: S105  # the name of a Secret with variables for all pods
USER_ID = 1000
HEAD_CPUS, HEAD_MEMORY_GB = 4, 16
SYSTEM_CPUS = 2  # of each node, for the kubelet, the device plugins and logs
SYSTEM_MEMORY = 0.1
PRE_RUNNING_DEADLINE_S = 1800
SERVE_PORT = 8000  # Ray Serve's own default
SHM = 0.3  # of a pod's memory, for Ray's object store


def render(outputs: Outputs, *, image_tag: str, group: WorkerGroup, nodes: int, serve: str | None) -> dict[str, str]:
    """`raycluster.yaml`, `rayjob.yaml`, `kueue.yaml`, and `rayservice.yaml` where there is something to serve; checked.

    Args:
        image_tag: tag of the training image in the cluster's registry.
        group: the worker group of the job.
        nodes: the job's number of nodes.
        serve: the text of a Ray Serve config file; None: no RayService.

    Raises:
        Refused: there is no EKS cluster, or more nodes are asked for than the group may have.
    """
    if outputs.kubernetes is None:
        raise Refused("kubernetes is null in the outputs: set kubernetes in the tfvars and apply, or render ray-up")
    kubernetes, image = outputs.kubernetes, f"{outputs.train_image}:{image_tag}"
    if not 1 <= nodes <= group.max_nodes:
        raise Refused(f"nodes={nodes}: group {group.name} may have 1 to {group.max_nodes}")
    elastic = [_workers(one, image, kubernetes, one.min_nodes, one.max_nodes) for one in outputs.worker_groups]
    spec = _cluster_spec(image, kubernetes, elastic) | {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "upscalingMode": "Default", "idleTimeoutSeconds": 600},
    }
    gang = _cluster_spec(image, kubernetes, [_workers(group, image, kubernetes, nodes, nodes)])
    title = f"{outputs.name}: KubeRay; made by basereward cluster render from Terraform's outputs, so change those"
    objects = {
        "raycluster.yaml": [_object("RayCluster", outputs.name, kubernetes, spec)],
        "rayjob.yaml": [_job(outputs, kubernetes, gang)],
        "kueue.yaml": _queues(outputs, kubernetes),
    }
    if serve is not None:
        objects["rayservice.yaml"] = [_service(outputs, kubernetes, gang, serve)]
    for documents in objects.values():
        for one in documents:
            check(one)
    return {name: to_yaml(title, *documents) for name, documents in objects.items()}


def _object(kind: str, name: str, kubernetes: Kubernetes, spec: Mapping[str, Any], **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": kubernetes.namespace}
    if labels:
        metadata["labels"] = {f"kueue.x-k8s.io/{key.replace('_', '-')}": value for key, value in labels.items()}
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def _cluster_spec(image: str, kubernetes: Kubernetes, workers: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "rayVersion": RAY_VERSION,
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            "labels": {
                label: str(sum(_at_most(resource, group) for group in workers))
                for label, resource in ((MAX_CPUS_LABEL, "cpu"), (MAX_GPUS_LABEL, "nvidia.com/gpu"))
            },
            "rayStartParams": {"num-cpus": "0", "num-gpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104  # of the pod
            "template": _pod(
                image,
                kubernetes,
                {"cpu": str(HEAD_CPUS), "memory": f"{HEAD_MEMORY_GB}Gi"},
                RAY_ENV | AUTOSCALER_HEALTH,
                name="ray-head",
                ports={"gcs": GCS_PORT, "dashboard": DASHBOARD_PORT},
            ),
        },
        "workerGroupSpecs": workers,
    }


def _at_most(resource: str, workers: Mapping[str, Any]) -> int:
    """What a group's pods have of a resource, when there are as many as there may be."""
    [container] = workers["template"]["spec"]["containers"]
    return int(container["resources"]["limits"].get(resource, 0)) * int(workers["maxReplicas"])


def _workers(group: WorkerGroup, image: str, kubernetes: Kubernetes, least: int, most: int) -> dict[str, Any]:
    resources = {
        "cpu": str(max(1, group.cpus - SYSTEM_CPUS)),
        "memory": f"{int(group.memory_gb * (1 - SYSTEM_MEMORY))}Gi",
    }
    if group.gpus_per_node:
        resources["nvidia.com/gpu"] = str(group.gpus_per_node)
    if group.efa_interfaces:
        resources["vpc.amazonaws.com/efa"] = str(group.efa_interfaces)
        resources["hugepages-2Mi"] = "5120Mi"
    env = RAY_ENV | EFA_ENV | ({CACHE_ENV: group.cache_dir} if group.cache_dir else {})
    template = _pod(image, kubernetes, resources, env, name="ray-worker", shm_gb=int(group.memory_gb * SHM), ports={})
    template["spec"]["nodeSelector"] = {"node.kubernetes.io/instance-type": group.instance_type}
    if group.gpus_per_node:
        template["spec"]["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    if group.cache_dir:
        _mount(template, "cache", {"hostPath": {"path": group.cache_dir, "type": "DirectoryOrCreate"}}, group.cache_dir)
    return {
        "groupName": group.name,
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": most,
        "rayStartParams": {},
        "template": template,
    }


def _pod(
    image: str,
    kubernetes: Kubernetes,
    resources: Mapping[str, str],
    env: Mapping[str, str],
    *,
    name: str,
    ports: Mapping[str, int],
    shm_gb: int = 4,
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "envFrom": [{"secretRef": {"name": SECRET, "optional": True}}],
        "resources": {"limits": dict(resources), "requests": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]},  # pinned memory of NCCL and EFA
        },
        "volumeMounts": [],
    }
    if ports:
        container["ports"] = [{"name": key, "containerPort": port} for key, port in ports.items()]
    template: dict[str, Any] = {
        "spec": {
            "serviceAccountName": kubernetes.service_account,
            "securityContext": {"runAsNonRoot": True, "runAsUser": USER_ID, "fsGroup": USER_ID},
            "terminationGracePeriodSeconds": 180,
            "containers": [container],
            "volumes": [],
        }
    }
    _mount(template, "shm", {"emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_gb}Gi"}}, "/dev/shm")  # noqa: S108
    return template


def _mount(template: dict[str, Any], name: str, source: Mapping[str, Any], path: str) -> None:
    template["spec"]["volumes"].append({"name": name, **source})
    template["spec"]["containers"][0]["volumeMounts"].append({"name": name, "mountPath": path})


def _job(outputs: Outputs, kubernetes: Kubernetes, cluster: Mapping[str, Any]) -> dict[str, Any]:
    command = "basereward train /etc/basereward/recipe.yaml --address auto"
    spec = {
        "entrypoint": command,
        "submissionMode": "SidecarMode",
        "suspend": True,  # Kueue starts it when head and workers fit at once
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 600,
        "backoffLimit": 3,  # a job goes on from its newest checkpoint
        "preRunningDeadlineSeconds": PRE_RUNNING_DEADLINE_S,
        "rayClusterSpec": _with_recipe(cluster),
    }
    return _object("RayJob", f"{outputs.name}-train", kubernetes, spec, queue_name=QUEUE)


def _with_recipe(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The head with the config map ``basereward-recipe``, which holds the recipe."""
    made = copy.deepcopy(dict(cluster))
    source = {"configMap": {"name": "basereward-recipe"}}
    _mount(made["headGroupSpec"]["template"], "recipe", source, "/etc/basereward")
    return made


def _service(outputs: Outputs, kubernetes: Kubernetes, cluster: Mapping[str, Any], serve: str) -> dict[str, Any]:
    config = yaml.safe_load(serve)
    if not isinstance(config, dict) or not config.get("applications"):
        raise Refused("the Serve config names no applications: ray serve build writes such a file")
    port = (config.get("http_options") or {}).get("port", SERVE_PORT)
    spec = {
        "serveConfigV2": serve,
        "serviceUnhealthySecondThreshold": 900,
        "rayClusterConfig": _with_serve_port(cluster, port),
    }
    return _object("RayService", f"{outputs.name}-serve", kubernetes, spec)


def _with_serve_port(cluster: Mapping[str, Any], port: int) -> dict[str, Any]:
    """Every pod with the port of Ray Serve's proxy, under the name by which KubeRay finds it for the service."""
    made = copy.deepcopy(dict(cluster))
    for group in (made["headGroupSpec"], *made["workerGroupSpecs"]):
        [container] = group["template"]["spec"]["containers"]
        container["ports"] = [*container.get("ports", ()), {"name": "serve", "containerPort": port}]
    return made


def _queues(outputs: Outputs, kubernetes: Kubernetes) -> list[dict[str, Any]]:
    """One flavour a worker group; the quota is what Terraform allows, so that Kueue admits whole jobs or none."""
    version, flavors, groups = "kueue.x-k8s.io/v1beta2", [], []
    for group in outputs.worker_groups:
        labels = {"node.kubernetes.io/instance-type": group.instance_type}
        spec: dict[str, Any] = {"nodeLabels": labels}
        if group.gpus_per_node:
            spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        flavors.append(
            {"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": group.name}, "spec": spec}
        )
        quota = {"cpu": group.cpus * group.max_nodes, "memory": f"{group.memory_gb * group.max_nodes}Gi"}
        quota["nvidia.com/gpu"] = group.gpus_per_node * group.max_nodes
        quota["vpc.amazonaws.com/efa"] = group.efa_interfaces * group.max_nodes
        quota["hugepages-2Mi"] = f"{5120 * group.max_nodes if group.efa_interfaces else 0}Mi"
        groups.append(
            {
                "name": group.name,
                "resources": [{"name": name, "nominalQuota": amount} for name, amount in quota.items()],
            }
        )
    covered = ["cpu", "memory", "nvidia.com/gpu", "vpc.amazonaws.com/efa", "hugepages-2Mi"]
    cluster_queue = {
        "apiVersion": version,
        "kind": "ClusterQueue",
        "metadata": {"name": QUEUE},
        "spec": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kubernetes.namespace}},
            "resourceGroups": [{"coveredResources": covered, "flavors": groups}],
        },
    }
    local_queue = {
        "apiVersion": version,
        "kind": "LocalQueue",
        "metadata": {"name": QUEUE, "namespace": kubernetes.namespace},
        "spec": {"clusterQueue": QUEUE},
    }
    return [*flavors, cluster_queue, local_queue]
