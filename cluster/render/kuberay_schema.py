"""A schema of the fields that `kuberay.render` writes: a typing mistake in it fails here, not in the operator's log.

It is our own and small. The operator's full schemas check the same files in the tests where those are at hand.
"""

from collections.abc import Mapping
from typing import Any

from cluster.errors import Refused

__all__ = ["check"]

_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 50}
_COUNT = {"type": "integer", "minimum": 0}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def _closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": list(required),
    }


_POD = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["containers", "securityContext"],
            "properties": {
                "securityContext": {"required": ["runAsNonRoot"], "properties": {"runAsNonRoot": {"const": True}}},
                "containers": {
                    "minItems": 1,
                    "items": {
                        "required": ["name", "image", "resources"],
                        "properties": {"image": {"type": "string", "pattern": "^[^ ]+:[^: /]+$"}},
                    },
                },
            },
        }
    },
}
_CLUSTER = _closed(
    ("headGroupSpec", "workerGroupSpecs", "authOptions", "rayVersion"),
    rayVersion={"type": "string"},
    authOptions=_closed(("mode",), mode={"const": "token"}),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_closed(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds=_COUNT,
    ),
    headGroupSpec=_closed(
        ("template",), serviceType={"const": "ClusterIP"}, labels=_TEXTS, rayStartParams=_TEXTS, template=_POD
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _closed(
            ("groupName", "minReplicas", "maxReplicas", "template"),
            groupName=_NAME,
            replicas=_COUNT,
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            rayStartParams=_TEXTS,
            template=_POD,
        ),
    },
)
_SPECS: Mapping[str, Any] = {
    "RayCluster": _CLUSTER,
    "RayJob": _closed(
        ("entrypoint", "rayClusterSpec", "suspend"),
        entrypoint={"type": "string", "minLength": 1},
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        suspend={"type": "boolean"},
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=_COUNT,
        backoffLimit=_COUNT,
        preRunningDeadlineSeconds=_COUNT,
        rayClusterSpec=_CLUSTER,
    ),
    "RayService": _closed(
        ("serveConfigV2", "rayClusterConfig"),
        serveConfigV2={"type": "string"},
        serviceUnhealthySecondThreshold=_COUNT,
        rayClusterConfig=_CLUSTER,
    ),
}


def check(document: Mapping[str, Any]) -> None:
    """Check one object; kinds that are not Ray's are checked for a name only.

    Raises:
        Refused: it is not what the operator takes.
    """
    from jsonschema import Draft202012Validator

    kind = document["kind"]
    schema = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "metadata": {"type": "object", "required": ["name"], "properties": {"name": _NAME}},
            "spec": _SPECS.get(kind, {"type": "object"}),
        },
    }
    for error in Draft202012Validator(schema).iter_errors(document):
        place = ".".join(str(part) for part in error.absolute_path)
        raise Refused(f"{kind} {document['metadata'].get('name')}: {place}: {error.message[:200]}")
