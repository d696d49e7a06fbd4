"""Service Quotas of EC2, as a new account has them: Moto 5.2 knows those of VPC alone. What is asked for is given."""

import json
from collections import defaultdict
from typing import Any
from uuid import uuid4

from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse

NEW_ACCOUNT = {
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5.0),
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5.0),
    "L-DB2E81BA": ("Running On-Demand G and VT instances", 0.0),
    "L-3819A6DF": ("All G and VT Spot Instance Requests", 0.0),
    "L-417A185B": ("Running On-Demand P instances", 0.0),
    "L-7212CCBC": ("All P4, P3 and P2 Spot Instance Requests", 0.0),
    "L-C4BD4855": ("All P5 Spot Instance Requests", 0.0),
}

_given: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)


def install() -> None:
    """Put them in."""
    get = ServiceQuotasBackend.get_service_quota

    def get_service_quota(self: ServiceQuotasBackend, service_code: str, quota_code: str) -> dict[str, Any]:
        if service_code != "ec2":
            return get(self, service_code, quota_code)
        if quota_code not in NEW_ACCOUNT:
            raise NoSuchResource
        name, value = NEW_ACCOUNT[quota_code]
        value = _given[self.account_id, self.region_name].get(quota_code, value)
        return {"ServiceCode": "ec2", "QuotaCode": quota_code, "QuotaName": name, "Value": value, "Adjustable": True}

    ServiceQuotasBackend.get_service_quota = get_service_quota
    ServiceQuotasResponse.get_aws_default_service_quota = get_aws_default_service_quota
    ServiceQuotasResponse.request_service_quota_increase = request_service_quota_increase


def get_aws_default_service_quota(self: ServiceQuotasResponse) -> str:
    code = str(self._get_param("QuotaCode"))
    if self._get_param("ServiceCode") != "ec2" or code not in NEW_ACCOUNT:
        raise NoSuchResource
    name, value = NEW_ACCOUNT[code]
    return json.dumps({"Quota": {"ServiceCode": "ec2", "QuotaCode": code, "QuotaName": name, "Value": value}})


def request_service_quota_increase(self: ServiceQuotasResponse) -> str:
    service, code = str(self._get_param("ServiceCode")), str(self._get_param("QuotaCode"))
    wanted = float(self._get_param("DesiredValue"))
    self.backend.get_service_quota(service, code)
    _given[self.current_account, self.region][code] = wanted
    told = {"Id": uuid4().hex, "ServiceCode": service, "QuotaCode": code, "DesiredValue": wanted, "Status": "APPROVED"}
    return json.dumps({"RequestedQuota": told})
