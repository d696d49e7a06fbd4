"""EKS as Moto 5.2 has it, with add-ons and pod identities besides."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import moto.eks.models
from moto.core.responses import ActionResult
from moto.eks import urls
from moto.eks.exceptions import ResourceNotFoundException
from moto.eks.responses import EKSResponse

_addons: dict[tuple[str, ...], dict[str, Any]] = {}
_associations: dict[tuple[str, ...], dict[str, Any]] = {}
_PATHS = (
    "addons$",
    "addons/(?P<addonName>[^/]+)$",
    "pod-identity-associations$",
    "pod-identity-associations/(?P<associationId>[^/]+)$",
)


def install() -> None:
    """Put them in."""
    moto.eks.models.DEFAULT_REMOTE_ACCESS = None  # a made-up SSH key in every node group
    methods = (
        create_addon, describe_addon, delete_addon,
        create_pod_identity_association, describe_pod_identity_association, delete_pod_identity_association,
    )  # fmt: skip
    for method in methods:
        setattr(EKSResponse, method.__name__, method)
    for path in _PATHS:
        urls.url_paths["{0}/clusters/(?P<name>[^/]+)/" + path] = EKSResponse.dispatch
    _keep_what_was_asked()


def _keep_what_was_asked() -> None:
    """Clusters and node groups show settings that Moto forgets; else every plan would change them."""
    make_cluster, make_group = EKSResponse.create_cluster, EKSResponse.create_nodegroup

    def create_cluster(self: EKSResponse) -> Any:
        answer = make_cluster(self)
        cluster = self.eks_backend.describe_cluster(name=self._get_param("name"))
        asked = self._get_param("accessConfig") or {}
        cluster.access_config = {"authenticationMode": asked.get("authenticationMode", "CONFIG_MAP")}
        cluster.resources_vpc_config.setdefault("publicAccessCidrs", ["0.0.0.0/0"])
        cluster.resources_vpc_config["clusterSecurityGroupId"] = f"sg-{uuid4().hex[:17]}"
        return answer

    def create_nodegroup(self: EKSResponse) -> Any:
        answer = make_group(self)
        group = self.eks_backend.describe_nodegroup(
            cluster_name=self._get_param("name"), nodegroup_name=self._get_param("nodegroupName")
        )
        group.update_config = self._get_param("updateConfig") or {"maxUnavailable": 1}
        return answer

    EKSResponse.create_cluster = create_cluster
    EKSResponse.create_nodegroup = create_nodegroup


def _key(response: EKSResponse, last: str) -> tuple[str, ...]:
    return (response.current_account, response.region, response._get_param("name"), last)


def _found(table: dict[tuple[str, ...], dict[str, Any]], key: tuple[str, ...]) -> dict[str, Any]:
    if key not in table:
        raise ResourceNotFoundException(message=f"{key[-1]} not found")
    return table[key]


def _times() -> dict[str, datetime]:
    now = datetime.now(UTC).replace(microsecond=0)
    return {"createdAt": now, "modifiedAt": now}


def create_addon(self: EKSResponse) -> ActionResult:
    cluster, name = self._get_param("name"), self._get_param("addonName")
    self.eks_backend.describe_cluster(name=cluster)
    addon = {
        "addonName": name,
        "clusterName": cluster,
        "status": "ACTIVE",
        "health": {"issues": []},
        "addonVersion": self._get_param("addonVersion") or "v1.0.0-eksbuild.1",
        "addonArn": f"arn:aws:eks:{self.region}:{self.current_account}:addon/{cluster}/{name}/{uuid4()}",
        "tags": self._get_param("tags") or {},
        **_times(),
    }
    _addons[_key(self, name)] = addon
    return ActionResult({"addon": addon})


def describe_addon(self: EKSResponse) -> ActionResult:
    return ActionResult({"addon": _found(_addons, _key(self, self._get_param("addonName")))})


def delete_addon(self: EKSResponse) -> ActionResult:
    key = _key(self, self._get_param("addonName"))
    addon = _found(_addons, key)
    del _addons[key]
    return ActionResult({"addon": addon})


def create_pod_identity_association(self: EKSResponse) -> ActionResult:
    cluster, identity = self._get_param("name"), f"a-{uuid4().hex[:17]}"
    self.eks_backend.describe_cluster(name=cluster)
    association = {
        "clusterName": cluster,
        "associationId": identity,
        "associationArn": (
            f"arn:aws:eks:{self.region}:{self.current_account}:podidentityassociation/{cluster}/{identity}"
        ),
        **{key: self._get_param(key) for key in ("namespace", "serviceAccount", "roleArn")},
        "tags": self._get_param("tags") or {},
        **_times(),
    }
    _associations[_key(self, identity)] = association
    return ActionResult({"association": association})


def describe_pod_identity_association(self: EKSResponse) -> ActionResult:
    return ActionResult({"association": _found(_associations, _key(self, self._get_param("associationId")))})


def delete_pod_identity_association(self: EKSResponse) -> ActionResult:
    key = _key(self, self._get_param("associationId"))
    association = _found(_associations, key)
    del _associations[key]
    return ActionResult({"association": association})
