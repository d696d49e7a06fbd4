"""A 64-bit fingerprint of a tensor's bits, to see whether it changed."""

import torch
from torch import Tensor

__all__ = ["Fingerprints"]

_CHUNK = 1 << 20
# As signed 64-bit integers: the multipliers of Steele, Lea, Flood 2014 (SplitMix64), both odd.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX = 0xBF58476D1CE4E5B9 - (1 << 64)
_WORDS = {2: torch.int16, 4: torch.int32}


class Fingerprints:
    """Computes fingerprints; keeps one table of 8 MB a device.

    The sum of bits x pseudo-random odd weight of their place, modulo 2^64. One changed element always changes it: an
    odd weight has an inverse, and bits differ by less than 2^32. Many changed elements cancel with a chance of about
    2^-63, since nothing that an optimiser computes depends on the weights of places. It is no cryptographic hash.
    """

    def __init__(self) -> None:
        self._weights: dict[torch.device, Tensor] = {}

    def of(self, tensor: Tensor) -> int:
        """The fingerprint of a float tensor of 2 or 4 bytes an element; 0.0 and -0.0 are the same, no elements give 0.

        An optimiser that adds 0 times its direction to a weight of -0.0 makes it 0.0: that is no movement.
        """
        flat = tensor.detach().reshape(-1)
        total = torch.zeros((), dtype=torch.int64, device=flat.device)
        for start in range(0, len(flat), _CHUNK):
            chunk = flat[start : start + _CHUNK]
            bits = (chunk + 0.0).view(_WORDS[chunk.element_size()]).to(torch.int64)
            total = total * _MIX + (bits * self._table(flat.device)[: len(bits)]).sum()
        return int(total)

    def _table(self, device: torch.device) -> Tensor:
        """int64 [_CHUNK], odd."""
        if device not in self._weights:
            mixed = torch.arange(1, _CHUNK + 1, dtype=torch.int64, device=device) * _GOLDEN
            mixed = (mixed ^ (mixed >> 30)) * _MIX
            self._weights[device] = (mixed ^ (mixed >> 27)) | 1
        return self._weights[device]
