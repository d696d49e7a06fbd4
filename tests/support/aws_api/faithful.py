"""Answers of Moto 5.2 that differ from AWS's, put right: with them a plan right after an apply is empty."""

from collections.abc import Callable
from typing import Any

from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response
from moto.ecr.models import ecr_backends
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.rds.models import DBInstance, DBParameterGroup
from moto.route53.responses import Route53
from moto.s3.models import S3Backend


def install() -> None:
    """Put them right."""
    _after(LaunchTemplateVersion, "__init__", _without_its_own_tags)
    _after(DBInstance, "__init__", _with_insights)
    _after(DBParameterGroup, "update_parameters", _set_by_user)
    _launch_all()
    _zones_of_a_network()
    _services_as_asked()
    _versions_outlive_versioning()
    SecurityGroupRule.description = property(_description)


def _after(cls: type, name: str, fix: Callable[..., None]) -> None:
    """Call `fix` with what `cls.name` was called with, after it."""
    original = getattr(cls, name)

    def both(self: Any, *args: Any, **kwargs: Any) -> Any:
        answer = original(self, *args, **kwargs)
        fix(self, *args, **kwargs)
        return answer

    setattr(cls, name, both)


def _without_its_own_tags(template: Any, *_: Any, **__: Any) -> None:
    """A template's own tags are not part of what it launches."""
    specifications = template.data.get("TagSpecifications", [])
    kept = [one for one in specifications if one.get("ResourceType") != "launch-template"]
    template.data.pop("TagSpecifications", None)
    if kept:
        template.data["TagSpecifications"] = kept


def _with_insights(database: Any, *_: Any, **asked: Any) -> None:
    database.performance_insights_enabled = bool(asked.get("enable_performance_insights"))
    database.performance_insights_kms_key_id = asked.get("performance_insights_kms_key_id")


def _set_by_user(group: Any, *_: Any, **__: Any) -> None:
    for parameter in group.parameters.values():
        parameter["Source"] = "user"


def _launch_all() -> None:
    """EC2 launches as many as it can up to MaxCount; Moto launches MinCount."""
    launch = EC2Response.run_instances

    def run_instances(self: EC2Response) -> Any:
        self.params["MinCount"] = self._get_param("MaxCount", self._get_param("MinCount", 1))
        return launch(self)

    EC2Response.run_instances = run_instances


def _description(rule: Any) -> str | None:
    """Rules between groups have descriptions too."""
    return rule.ip_range.get("Description") or (rule.source_group or {}).get("Description")


def _zones_of_a_network() -> None:
    """A zone made for a network is private, whether the call says so or not."""
    make = Route53.create_hosted_zone

    def create_hosted_zone(self: Route53) -> Any:
        if self._get_param("VPC.VPCId"):
            self.params.setdefault("HostedZoneConfig", {})["PrivateZone"] = "true"
        return make(self)

    Route53.create_hosted_zone = create_hosted_zone


def _run_what_has_an_image(response: EC2ContainerServiceResponse, service: Any) -> None:
    """Servers run where the registry has the image that they start from."""
    definition = response.ecs_backend.describe_task_definition(service.task_definition)
    address, _, tag = definition.container_definitions[0]["image"].rpartition(":")
    registry = ecr_backends[response.current_account][response.region]
    repository = registry.repositories.get(address.partition("/")[2])
    if repository is not None and any(tag in image.image_tags for image in repository.images):
        service.running_count, service.pending_count = service.desired_count, 0


def _services_as_asked() -> None:
    """A service shows the settings it was made with."""
    make = EC2ContainerServiceResponse.create_service

    def create_service(self: EC2ContainerServiceResponse) -> Any:
        answer = make(self)
        cluster, name = self._get_param("cluster", "default"), self._get_param("serviceName")
        service = self.ecs_backend.describe_services(cluster, [name])[0][0]
        service.availability_zone_rebalancing = self._get_param("availabilityZoneRebalancing") or "DISABLED"
        service.enable_ecs_managed_tags = bool(self._get_param("enableECSManagedTags"))
        service.health_check_grace_period_seconds = self._get_param("healthCheckGracePeriodSeconds")
        _run_what_has_an_image(self, service)
        return answer

    EC2ContainerServiceResponse.create_service = create_service


def _versions_outlive_versioning() -> None:
    """Where versioning is suspended, which Terraform does before it empties a bucket, a version is still deleted alone.

    Moto takes such a bucket for one that never had versions: it deletes all of the key's at once, and answers 500 if
    one of them is the mark of a deletion.
    """
    delete = S3Backend.delete_object

    def delete_object(
        self: S3Backend, bucket_name: str, key_name: str, version_id: str | None = None, bypass: bool = False
    ) -> tuple[bool, dict[str, Any]]:
        bucket = self.get_bucket(bucket_name)
        if version_id is None or bucket.versioning_status != "Suspended":
            return delete(self, bucket_name, key_name, version_id, bypass)
        versions = bucket.keys.getlist(key_name, [])
        kept = [one for one in versions if str(one.version_id) != version_id]
        bucket.keys.setlist(key_name, kept)  # closes the file of the one that is not kept
        if not kept:
            bucket.keys.pop(key_name)
        return len(kept) < len(versions), {"version-id": version_id}

    S3Backend.delete_object = delete_object
