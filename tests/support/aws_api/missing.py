"""Calls that Terraform's AWS provider makes and Moto 5.2 does not know."""

import json
import sys
from collections import defaultdict
from typing import Any

from moto.budgets.responses import BudgetsResponse
from moto.core.responses import ActionResult, BaseResponse
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_id
from moto.ssm.models import SimpleSystemManagerBackend

AMI_PARAMETER = "/aws/service/deeplearning/"

_groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
_budget_tags: dict[str, list[Any]] = {}


def install() -> None:
    """Put them in."""
    for method in (create_placement_group, describe_placement_groups, delete_placement_group):
        setattr(EC2Response, method.__name__, method)
    _install_budgets()
    _install_image_parameter()
    _refuse_at_once()


def _refuse_at_once() -> None:
    """A call that is missing is a 501 with its name: Moto's 500 is retried by the provider, for minutes."""
    dispatch = BaseResponse.call_action

    def call_action(self: BaseResponse) -> Any:
        try:
            return dispatch(self)
        except NotImplementedError as error:
            print(f"aws_api: missing: {self.service_name} {error}", file=sys.stderr, flush=True)
            return 501, {}, f"missing: {self.service_name} {error}"

    BaseResponse.call_action = call_action


def _here(response: EC2Response) -> dict[str, dict[str, Any]]:
    return _groups[(response.current_account, response.region)]


def create_placement_group(self: EC2Response) -> ActionResult:
    name = self._get_param("GroupName")
    if name in _here(self):
        raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
    tags = self._parse_tag_specification("placement-group").get("placement-group", {})
    group = {
        "GroupName": name,
        "GroupId": random_id("pg"),
        "GroupArn": f"arn:aws:ec2:{self.region}:{self.current_account}:placement-group/{name}",
        "State": "available",
        "Strategy": self._get_param("Strategy", "cluster"),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    _here(self)[name] = group
    return ActionResult({"PlacementGroup": group})


def describe_placement_groups(self: EC2Response) -> ActionResult:
    names, ids = self._get_param("GroupNames", []), self._get_param("GroupIds", [])
    if unknown := set(names) - _here(self).keys():
        raise _unknown_group(min(unknown))
    groups = [
        group
        for group in _here(self).values()
        if (not names or group["GroupName"] in names) and (not ids or group["GroupId"] in ids)
    ]
    return ActionResult({"PlacementGroups": groups})


def delete_placement_group(self: EC2Response) -> ActionResult:
    name = self._get_param("GroupName")
    if _here(self).pop(name, None) is None:
        raise _unknown_group(name)
    return ActionResult({})


def _unknown_group(name: str) -> EC2ClientError:
    return EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")


def _install_budgets() -> None:
    """Subscribers and tags of a budget, which Moto stores or drops and does not show."""
    create = BudgetsResponse.create_budget

    def create_budget(self: BudgetsResponse) -> Any:
        answer = create(self)
        name = self._get_param("Budget")["BudgetName"]
        arn = f"arn:aws:budgets::{self._get_param('AccountId')}:budget/{name}"
        _budget_tags[arn] = self._get_param("ResourceTags", []) or []
        return answer

    def list_tags_for_resource(self: BudgetsResponse) -> str:
        return json.dumps({"ResourceTags": _budget_tags.get(self._get_param("ResourceARN"), [])})

    def describe_subscribers_for_notification(self: BudgetsResponse) -> str:
        wanted = self._get_param("Notification")
        budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
        keys = ("NotificationType", "ComparisonOperator", "Threshold")
        for notification in budget.notifications:
            if all(notification.details.get(key) == wanted.get(key) for key in keys):
                return json.dumps({"Subscribers": notification.subscribers})
        return json.dumps({"Subscribers": []})

    BudgetsResponse.create_budget = create_budget
    BudgetsResponse.list_tags_for_resource = list_tags_for_resource
    BudgetsResponse.describe_subscribers_for_notification = describe_subscribers_for_notification


def _install_image_parameter() -> None:
    """AWS's public parameter that names the newest deep learning image: here some image that Moto has."""
    get = SimpleSystemManagerBackend.get_parameter

    def get_parameter(self: SimpleSystemManagerBackend, name: str) -> Any:
        if not name.startswith(AMI_PARAMETER):
            return get(self, name)
        parameter = get(self, "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
        if parameter is not None:
            parameter.name = name
        return parameter

    SimpleSystemManagerBackend.get_parameter = get_parameter
