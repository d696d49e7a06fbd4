"""IAM as AWS decides it: Moto 5.2 takes every condition for true and a service's permission for everybody's.

A call counts as HTTPS, as behind a proxy that ends TLS, unless it says `X-Forwarded-Proto: http`.
"""

import json
from typing import Any

from flask import has_request_context, request
from iam_rules import decide
from moto.iam.access_control import IAMPolicyStatement, PermissionResult
from moto.s3.models import FakeBucket

_RESULTS = {True: PermissionResult.PERMITTED, False: PermissionResult.DENIED, None: PermissionResult.NEUTRAL}


def install() -> None:
    """Let every statement be decided here."""

    def is_action_permitted(
        self: Any, action: str, resource: str = "*", principal: str | None = None, values: Any = None
    ) -> PermissionResult:
        context = {**_context(), **(values or {})}
        answer = decide([self._statement], action=action, resource=resource, context=context, caller=principal)
        return _RESULTS[answer]

    IAMPolicyStatement.is_action_permitted = is_action_permitted
    FakeBucket._log_permissions_enabled_policy = staticmethod(_logs_may_be_delivered)


def _logs_may_be_delivered(target_bucket: Any, target_prefix: str | None) -> bool:
    """Whether S3 may put access logs there; Moto wants a statement written in one of three ways."""
    answer = decide(
        json.loads(target_bucket.policy or b'{"Statement": []}')["Statement"],
        action="s3:PutObject",
        resource=f"arn:aws:s3:::{target_bucket.name}/{target_prefix or ''}2026-01-01-00-00-00-0123456789ABCDEF",
        context={"aws:SourceAccount": target_bucket.account_id, "aws:SecureTransport": "true"},
        caller="logging.s3.amazonaws.com",
    )
    return bool(answer)


def _context() -> dict[str, str]:
    """What conditions may ask of the call now being served."""
    if not has_request_context():
        return {}
    scheme = request.headers.get("X-Forwarded-Proto", "https")
    context = {"aws:SecureTransport": str(scheme == "https").lower()}
    if "list-type" in request.args or "prefix" in request.args:
        context["s3:prefix"] = request.args.get("prefix", "")
    return context
