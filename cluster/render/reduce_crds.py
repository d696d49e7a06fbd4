"""Reduce the operators' definitions of their objects to what `kuberay_schema` checks with.

    python -m cluster.render.reduce_crds FOLDER    which holds the CRDs of the operators' releases as .yaml files

definitions (3.4 MB) -> the spec of one version a kind -> JSON Schema that refuses unknown fields, without texts,
defaults and rules in CEL -> parts that occur more than once stand in ``$defs`` -> operator_schemas.json (0.1 MB)
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["KINDS", "TARGET", "reduce_definitions"]

TARGET = Path(__file__).with_name("operator_schemas.json")
KINDS = {
    "RayCluster": "ray.io/v1",
    "RayJob": "ray.io/v1",
    "RayService": "ray.io/v1",
    "ResourceFlavor": "kueue.x-k8s.io/v1beta2",
    "ClusterQueue": "kueue.x-k8s.io/v1beta2",
    "LocalQueue": "kueue.x-k8s.io/v1beta2",
}
"""Every kind that `kuberay.render` writes, with its version."""
_COMMENT = (
    "Made by cluster/render/reduce_crds.py from the CustomResourceDefinitions of KubeRay v1.7.0"
    " (github.com/ray-project/kuberay) and Kueue v0.19.2 (github.com/kubernetes-sigs/kueue), copyright of their"
    " authors, licensed under the Apache License, Version 2.0 (http://www.apache.org/licenses/LICENSE-2.0). Changed:"
    " only the spec of one version of each kind; descriptions, defaults, formats, list types and CEL rules dropped;"
    " unknown fields refused; repeated parts shared."
)
_DROPPED = {"description", "default", "format", "nullable"}
_INNER = ("items", "additionalProperties")
_SHARED_FROM = 100  # characters; shorter parts are repeated

Schema = dict[str, Any]


def reduce_definitions(folder: Path) -> str:
    """The text of `TARGET`, from the CustomResourceDefinitions in the YAML files of `folder`.

    Raises:
        KeyError: a kind or version of `KINDS` is not there.
    """
    specs = dict(_specs(folder))
    schemas = {kind: _closed(specs[kind, version]) for kind, version in KINDS.items()}
    shared = _Shared(schemas.values())
    kinds = {kind: shared.reduced(schema) for kind, schema in schemas.items()}
    lines = [json.dumps("$comment") + ": " + json.dumps(_COMMENT)]
    for name, parts in (("$defs", shared.parts), ("kinds", kinds)):
        rows = [f"{json.dumps(key)}: {_text(part)}" for key, part in sorted(parts.items())]
        lines.append(f"{json.dumps(name)}: {{\n" + ",\n".join(rows) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _specs(folder: Path) -> Iterator[tuple[tuple[str, str], Schema]]:
    """By kind and version: what the spec may be."""
    for path in sorted(folder.glob("*.yaml")):
        for crd in yaml.load_all(path.read_text(encoding="utf8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            for version in crd["spec"]["versions"] if crd else ():
                key = crd["spec"]["names"]["kind"], f"{crd['spec']['group']}/{version['name']}"
                yield key, version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def _closed(node: Any) -> Any:
    """A definition as JSON Schema that refuses unknown fields, as the API server does with strict validation."""
    if isinstance(node, list):
        return [_closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {
        key: {name: _closed(one) for name, one in value.items()} if key == "properties" else _closed(value)
        for key, value in node.items()
        if key not in _DROPPED and not key.startswith("x-kubernetes-")
    }
    if node.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if node.get("type") == "object" and "properties" in node and "additionalProperties" not in node:
        made["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields"))
    return made


class _Shared:
    """Replaces parts that occur more than once by references to `parts`."""

    def __init__(self, schemas: Iterable[Schema]) -> None:
        self.parts: dict[str, Schema] = {}
        self._names: dict[str, str] = {}
        self._uses: Counter[str] = Counter()
        for schema in schemas:
            self._count(schema)

    def _count(self, schema: Schema) -> None:
        text = _text(schema)
        self._uses[text] += 1
        if self._uses[text] == 1:  # the inside of a part that is shared counts once
            for one in (*schema.get("properties", {}).values(), *(schema.get(name) for name in _INNER)):
                if isinstance(one, dict):
                    self._count(one)

    def reduced(self, schema: Schema) -> Schema:
        """`schema` with references; its shared parts are in `parts` afterwards."""
        made = dict(schema)
        if "properties" in schema:
            made["properties"] = {name: self._reference(name, one) for name, one in schema["properties"].items()}
        for name in _INNER:
            if isinstance(schema.get(name), dict):
                made[name] = self._reference(name, schema[name])
        return made

    def _reference(self, name: str, schema: Schema) -> Schema:
        text = _text(schema)
        if self._uses[text] == 1 or len(text) < _SHARED_FROM:
            return self.reduced(schema)
        if text not in self._names:
            taken = [one for one in self._names.values() if one.rstrip("0123456789") == name]
            self._names[text] = f"{name}{len(taken) + 1}"
            self.parts[self._names[text]] = self.reduced(schema)
        return {"$ref": f"#/$defs/{self._names[text]}"}


def _text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


if __name__ == "__main__":
    TARGET.write_text(reduce_definitions(Path(sys.argv[1])), encoding="utf8")
