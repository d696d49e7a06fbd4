"""Checks what `kuberay.render` writes: a typing mistake in it fails here, not in the operator's log.

operator_schemas.json   the fields that KubeRay and Kueue take, unknown ones refused; `reduce_crds` makes it
`_RULES`                what we ask for beyond that: tokens are on, pods run without root, images have a tag
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cluster.errors import Refused
from cluster.render.reduce_crds import KINDS, TARGET

__all__ = ["check"]

_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 50}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": _NAME, "namespace": _NAME, "labels": _TEXTS, "annotations": _TEXTS},
    "additionalProperties": False,
}


def _with(**properties: Any) -> dict[str, Any]:
    """An object that has these fields, and may have others."""
    return {"properties": properties, "required": list(properties)}


_TAGGED = {"pattern": "^[^ ]+:[^: /]+$"}
_CONTAINERS = {"minItems": 1, "items": _with(name=True, image=_TAGGED, resources=True)}
_POD = _with(spec=_with(securityContext=_with(runAsNonRoot={"const": True}), containers=_CONTAINERS))
_CLUSTER = _with(
    rayVersion=True,
    authOptions=_with(mode={"const": "token"}),
    headGroupSpec=_with(serviceType={"const": "ClusterIP"}, template=_POD),
    workerGroupSpecs={"items": _with(groupName=_NAME, minReplicas=True, maxReplicas=True, template=_POD)},
)
_RULES: Mapping[str, Any] = {
    "RayCluster": _CLUSTER,
    "RayJob": _with(entrypoint={"minLength": 1}, suspend=True, rayClusterSpec=_CLUSTER),
    "RayService": _with(serveConfigV2=True, rayClusterConfig=_CLUSTER),
}


def check(document: Mapping[str, Any]) -> None:
    """Check one object.

    Raises:
        Refused: it is not what the operator takes, or not what we ask for.
    """
    from jsonschema import Draft202012Validator

    kind = document["kind"]
    if kind not in KINDS:
        raise Refused(f"kind {kind!r} is unknown here: name it in reduce_crds.KINDS; it has {', '.join(KINDS)}")
    for error in Draft202012Validator(_schema(kind)).iter_errors(document):
        place = ".".join(str(part) for part in error.absolute_path)
        raise Refused(f"{kind} {document['metadata'].get('name')}: {place}: {error.message[:200]}")


@lru_cache
def _schema(kind: str) -> dict[str, Any]:
    """For a whole object of this kind."""
    operators = json.loads(TARGET.read_text(encoding="utf8"))
    return {
        "$defs": operators["$defs"],
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": KINDS[kind]},
            "kind": True,
            "metadata": _METADATA,
            "spec": {"allOf": [operators["kinds"][kind], _RULES.get(kind, True)]},
        },
        "additionalProperties": False,
    }
