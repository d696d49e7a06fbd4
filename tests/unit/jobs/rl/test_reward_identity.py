"""Which settings of a reward another one in the same folder may differ by."""

from dataclasses import replace
from typing import Any

import pytest

from jobs.rl.prepare import reward_identity
from rm_core.rl.config import ConsistencyConfig, RewardConfig

ASKED = ConsistencyConfig(url="http://host:8000/v1", model="qwen")


def of(consistency: ConsistencyConfig) -> dict[str, Any]:
    return reward_identity(RewardConfig(kind="verdict", consistency=consistency))


@pytest.mark.parametrize(
    "change",
    [{"url": "http://other:8000/v1"}, {"retries": 9}, {"key_variable": "KEY"}, {"unanswered": "leave"}],
)
def test_where_and_how_a_model_is_asked_may_change(change: dict[str, Any]) -> None:
    assert of(replace(ASKED, **change)) == of(ASKED)


@pytest.mark.parametrize("change", [{"model": "other"}, {"template": "{reasoning}{verdict}"}, {"url": None}])
def test_who_is_asked_and_for_what_may_not(change: dict[str, Any]) -> None:
    assert of(replace(ASKED, **change)) != of(ASKED)


def test_where_nobody_is_asked_there_is_nothing_to_differ_by() -> None:
    assert "consistency" not in of(ConsistencyConfig())
