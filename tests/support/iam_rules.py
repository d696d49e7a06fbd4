"""What an IAM policy decides, computed here: for tests of policies, and for the local AWS API that enforces them.

    decide(policy["Statement"], action="s3:PutObject", resource="arn:aws:s3:::raw/x")

True, False, or None: nothing is said.

Knows what this project's policies use; an operator that it does not know is an error, not a guess.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Statement = Mapping[str, Any]


def as_list(value: Any) -> list[Any]:
    """IAM writes one value where it means a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def like(pattern: str, value: str) -> bool:
    """`*` and `?` as IAM means them."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, found: wanted == found,
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda wanted, found: wanted.lower() == found.lower(),
}


def conditions_hold(statement: Statement, context: Mapping[str, str]) -> bool:
    """Whether all conditions hold; one on a key that the call does not have does not, unless it says IfExists."""
    for operator, keys in statement.get("Condition", {}).items():
        holds = _OPERATORS[operator.removesuffix("IfExists")]
        for key, wanted in keys.items():
            if key not in context and operator.endswith("IfExists"):
                continue
            if key not in context or not any(holds(one, context[key]) for one in as_list(wanted)):
                return False
    return True


def concerns_caller(statement: Statement, caller: str | None) -> bool:
    """Whether a statement with principals means `caller`, an ARN or the name of a service; None is somebody unknown."""
    if "Principal" not in statement or statement["Principal"] == "*":
        return True
    if caller in as_list(statement["Principal"].get("Service", [])):
        return True
    for named in as_list(statement["Principal"].get("AWS", [])):
        if named == "*" or (caller and (named == caller or named == re.sub(r":[^:]+$", ":root", caller))):
            return True
    return False


def decide(
    statements: Iterable[Statement], *, action: str, resource: str, context: Mapping[str, str] | None = None,
    caller: str | None = None,
) -> bool | None:  # fmt: skip
    """True: allowed; False: denied; None: no statement speaks of it, which IAM takes for a no."""
    answer = None
    for statement in statements:
        named = any(like(one.lower(), action.lower()) for one in as_list(statement["Action"]))
        # A trust policy has no resource: it means the role itself.
        there = any(like(one, resource) for one in as_list(statement.get("Resource", "*")))
        if named and there and concerns_caller(statement, caller) and conditions_hold(statement, context or {}):
            if statement["Effect"] == "Deny":
                return False
            answer = True
    return answer
