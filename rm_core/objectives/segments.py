"""Sums and maxima of parts of a vector, without a loop and without asking the device how long the parts are."""

from torch import Tensor

__all__ = ["segment_max", "segment_sum"]


def segment_sum(values: Tensor, segment: Tensor, num_segments: int) -> Tensor:
    """[num_segments] sums of `values` [N], of which `segment` [N] says where each belongs; 0 where there is none."""
    return values.new_zeros(num_segments).index_add(0, segment, values)


def segment_max(values: Tensor, segment: Tensor, start: Tensor) -> Tensor:
    """The maxima of `values` [N] and of `start` [segments], without gradient."""
    return start.detach().scatter_reduce(0, segment, values.detach(), "amax")
