"""Paths for processes that may run in another folder than the driver."""

from dataclasses import replace
from typing import Any, TypeVar

from data_pipeline.storage import absolute

__all__ = ["with_absolute_paths"]

Config = TypeVar("Config")


def with_absolute_paths(config: Config, *keys: str) -> Config:
    """A copy of a config dataclass with the local paths in `keys` made absolute; ``s3://`` stays."""
    changes: dict[str, Any] = {key: absolute(getattr(config, key)) for key in keys}
    return replace(config, **changes)  # type: ignore[type-var]  # any dataclass
