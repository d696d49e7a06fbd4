"""One function over all tensors of a row, however deep they lie."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

__all__ = ["map_tensors", "num_bytes"]


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor in its dataclasses and tuples replaced by `function` of it."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, tuple):
        return tuple(map_tensors(one, function) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: map_tensors(getattr(value, one.name), function) for one in fields(value)})
    return value


def num_bytes(value: Any) -> int:
    """Bytes of all its tensors."""
    sizes: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    map_tensors(value, count)
    return sum(sizes)
