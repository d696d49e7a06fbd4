"""After the first steps: did every weight that trains move, and none that is frozen or held?

A weight outside the loss, a freeze that did not take, an optimiser that lost a shard: the loss curve shows none of
them. The audit compares fingerprints of the float32 master weights, and reads Adam's first moments, which tell "no
gradient came" from "the step was smaller than a float32 can hold" (and weight decay, which moves a matrix without any
gradient, from learning).

When a parameter is judged:

    vision, merger    at the first step with images: before it their gradient is exactly 0
    lora_A            one step after its lora_B has moved: at B = 0 the gradient of A is exactly 0
    a gradient came, and the weight stands still while the rate still rises      at a later step: a norm's weight of 1
                      moves by 6e-8 or not at all, and the first steps of a warm-up may be smaller
    everything else   at the first step whose rate is above 0

A row of a table of embeddings whose token did not occur stands still; the table as a whole moves. A step of which all
responses are tied has no gradient at all: such a step is not one to judge.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from data_pipeline.errors import RunError
from rm_core.training.engines.interface import MasterWeights

__all__ = ["Fingerprints", "WeightAudit"]


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


_SEEING = ("vision", "merger")
_A, _B = ".lora_A", ".lora_B"


@dataclass(slots=True)
class _Weight:
    """One parameter under audit; `before` is this rank's fingerprint."""

    name: str
    group: str
    parameter: nn.Parameter
    before: int


@dataclass(frozen=True, slots=True)
class _Change:
    """What happened to a parameter, on any rank."""

    moved: bool
    reached: bool


class WeightAudit:
    """Audits one stage of a training; made before its first step, on every rank.

    Memory: two integers a parameter, and 40 MB while it computes. Every call of `after` until `done` reads the weights
    it judges once and makes one all-reduce of two numbers a parameter.

    Args:
        named_parameters: of the model, in the same order on every rank.
        masters: access to the shards of the optimiser.
        group_of: parameter's name -> part of the model.
        device: where the all-reduce runs.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        masters: MasterWeights,
        group_of: Callable[[str], str],
        device: torch.device,
    ) -> None:
        self._masters = masters
        self._device = device
        self._fingerprints = Fingerprints()
        self._open = [
            _Weight(name, group_of(name), parameter, self._fingerprint(parameter))
            for name, parameter in named_parameters
        ]
        self._unmoved_b = {weight.name for weight in self._open if _B in weight.name}

    @property
    def done(self) -> bool:
        """Whether every parameter was judged: `after` need not be called any more."""
        return not self._open

    @property
    def waiting(self) -> tuple[str, ...]:
        """Names of parameters that were not judged yet, such as those of the tower before the first image."""
        return tuple(weight.name for weight in self._open)

    def after(self, step: int, rates: Mapping[str, float], *, images: bool, rising: bool) -> None:
        """Judge what the optimiser step `step` has to have done; a collective call with the same arguments everywhere.

        Args:
            step: for the message.
            rates: part of the model -> learning rate of this step; 0 or no entry: it is to stand still.
            images: whether any rank had an image or a video in this step.
            rising: whether the next step's rates are higher.

        Raises:
            RunError: names weights that stood still or moved and should not have, and the likely cause.
        """
        if not any(rate > 0 for rate in rates.values()):
            return
        now = [weight for weight in self._open if images or weight.group not in _SEEING]
        if not now:
            return
        faults, settled = _Faults(), set()
        changes = list(zip(now, self._changes(now), strict=True))
        for weight, change in changes:
            if not (weight.parameter.requires_grad and rates.get(weight.group, 0.0) > 0):
                faults.escaped += [weight.name] * change.moved
            elif weight.name.replace(_A, _B) in self._unmoved_b and _A in weight.name:
                continue
            elif not change.reached:
                faults.unreached.append(weight.name)
            elif not change.moved and rising:
                continue
            elif not change.moved:
                faults.stuck.append(weight.name)
            settled.add(weight.name)
        faults.check(step, len(now), rates)
        self._unmoved_b -= {weight.name for weight, change in changes if change.moved}
        self._open = [weight for weight in self._open if weight.name not in settled]

    def _changes(self, weights: list[_Weight]) -> list[_Change]:
        moments = self._masters.keeps_moments()
        flags = torch.zeros(2, len(weights), dtype=torch.int32)
        for index, weight in enumerate(weights):
            flags[0, index] = self._fingerprint(weight.parameter) != weight.before
            flags[1, index] = not moments or self._reached(weight.parameter)
        flags = flags.to(self._device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return [_Change(bool(moved), bool(reached)) for moved, reached in flags.T.tolist()]

    def _reached(self, parameter: nn.Parameter) -> bool:
        """Whether a gradient ever came to this rank's part."""
        if not parameter.requires_grad:
            return False
        moment = self._masters.first_moment(parameter)
        return moment is not None and bool(moment.count_nonzero())

    def _fingerprint(self, parameter: nn.Parameter) -> int:
        shard: Tensor | None = self._masters.weights(parameter)
        return 0 if shard is None else self._fingerprints.of(shard)


class _Faults:
    """Names of weights that are not as they should be."""

    def __init__(self) -> None:
        self.escaped: list[str] = []
        self.unreached: list[str] = []
        self.stuck: list[str] = []

    def check(self, step: int, num_weights: int, rates: Mapping[str, float]) -> None:
        """Raise what was found, the gravest first."""
        shown = ", ".join(f"{part} {rate:.1e}" for part, rate in rates.items())
        findings = {
            "are frozen or held in this stage, and moved: a fault of the optimiser, do not use this run": self.escaped,
            "train and got no gradient: the loss does not depend on them; freeze their group in train.weights, or mend "
            "the model's forward pass": self.unreached,
            "got a gradient and did not move: the step is smaller than the spacing of float32 at learning rates "
            f"{shown}; raise that of their group, or freeze it": self.stuck,
        }
        for what, names in findings.items():
            if names:
                first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
                raise RunError(f"step {step}: {len(names)} of {num_weights} weights ({first}) {what}")
