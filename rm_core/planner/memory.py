"""One rank's GPU memory in a training: states, activations of the largest row, what the libraries take, an allowance.

    peak = kept states + the row + the largest of (running a row, stepping) , and not less than building the engine
    needed = peak x (1 + FRAGMENTATION) + LIBRARIES

Of a step, only one of the two is going on; of a row, activations, gradients on their way and what one layer's backward
pass makes are taken to be there together, which is a little more than ever is. The largest budget of tokens or patches
that fits is searched with the other one as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rm_core.planner.activations import Activations, activations_of
from rm_core.planner.architecture import Architecture
from rm_core.planner.gpus import Gpu
from rm_core.planner.setting import Setting
from rm_core.planner.states import States, states_of

__all__ = [
    "FRAGMENTATION",
    "LIBRARIES",
    "PATCH_STEP",
    "TOKEN_STEP",
    "Memory",
    "largest_patch_budget",
    "largest_token_budget",
    "memory_of",
    "snapshot_bytes",
]

FRAGMENTATION = 0.08
"""Share of the peak that PyTorch's allocator cannot use: 4.5 to 8.3 % in six trainings on an H200."""
LIBRARIES = 2_000_000_000
"""Bytes of the CUDA context, cuBLAS's workspace and NCCL's channels. An assumption."""
TOKEN_STEP = 128
"""Token budgets are multiples of this: the flex kernel fills rows up to one."""
PATCH_STEP = 1024
"""Patch budgets are multiples of this."""
_LARGEST_BUDGET = 1 << 20
_HOST_RESERVE_GB = 16.0
"""Gigabytes of CPU memory for each GPU that the data loader, Ray and the system take. An assumption."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes that one rank needs at most.

    Attributes:
        states: of ZeRO.
        activations: of the largest row.
        weights_host: a GPU's part of the model in CPU memory while it is loaded: the ranks of a machine share the pages
            of its files, and each copies one weight at a time.
        snapshot: in CPU memory, of the states, while a checkpoint is written.
    """

    states: States
    activations: Activations
    weights_host: int
    snapshot: int

    @property
    def row(self) -> int:
        """Beside the states, while a row is run forward and backward."""
        return self.activations.kept + self.activations.working + self.states.backward

    @property
    def peak(self) -> int:
        """Bytes of tensors at the fullest moment."""
        training = self.states.kept + self.activations.inputs + max(self.row, self.states.step)
        return max(training, self.states.start)

    @property
    def fragments(self) -> int:
        return int(FRAGMENTATION * self.peak)

    @property
    def needed(self) -> int:
        """Bytes that the GPU must have."""
        return self.peak + self.fragments + LIBRARIES

    @property
    def host(self) -> int:
        """Bytes of CPU memory for each GPU: what is offloaded and a checkpoint's snapshot, or loading the model."""
        return max(self.states.host + self.snapshot, self.weights_host)

    def fits(self, gpu: Gpu) -> bool:
        """Whether GPU and CPU memory are enough."""
        return not self.lacking(gpu)

    def lacking(self, gpu: Gpu) -> str:
        """What is too small, in words, or ""."""
        if self.needed > gpu.usable_gb * 1e9:
            what = "building the engine" if self.peak == self.states.start else "training"
            margin = f", of which plan.memory_margin leaves {gpu.usable_gb:.4g}" if gpu.margin else ""
            return (
                f"{what} needs {self.needed / 1e9:,.1f} GB on each GPU, and {gpu.name} has {gpu.memory_gb:.4g}{margin}"
            )
        room = gpu.host_gb - _HOST_RESERVE_GB
        if self.host > room * 1e9:
            return (
                f"{self.host / 1e9:,.1f} GB of CPU memory for each GPU are needed, and its node has {room:.4g} beside "
                f"{_HOST_RESERVE_GB:g} for data and system"
            )
        return ""

    def rows(self) -> list[tuple[str, int]]:
        """(what, bytes) of the table that a user sees."""
        states, activations = self.states, self.activations
        running = self.row >= states.step
        return [
            ("weights", states.weights),
            ("float32 master weights", states.masters),
            ("Adam's moments", states.moments),
            ("gradients kept over a step", states.gradients),
            ("buffers", states.buffers),
            ("the row's tokens and pixels", activations.inputs),
            ("activations of the decoder", activations.decoder if running else 0),
            ("activations of the vision tower", activations.vision if running else 0),
            ("one layer's backward pass", activations.working if running else 0),
            ("gathered weights, gradients sent", states.backward if running else 0),
            ("in the optimiser's step", 0 if running else states.step),
        ]


def memory_of(arch: Architecture, setting: Setting) -> Memory:
    """What `arch` needs under `setting`."""
    return Memory(
        states=states_of(arch, setting),
        activations=activations_of(arch, setting, setting.row),
        weights_host=setting.itemsize * (arch.numel // setting.local_gpus + arch.largest_numel),
        snapshot=snapshot_bytes(arch, setting),
    )


def snapshot_bytes(arch: Architecture, setting: Setting) -> int:
    """A rank's part of a checkpoint: float32 weights and both moments of its share of what trains."""
    return 12 * arch.trained_numel // setting.gpus


def largest_token_budget(arch: Architecture, setting: Setting, gpu: Gpu) -> int:
    """The largest `token_budget` that fits, a multiple of `TOKEN_STEP` up to 2^20; 0: none does."""
    return _largest(lambda tokens: _fits(arch, replace(setting, token_budget=tokens), gpu), TOKEN_STEP)


def largest_patch_budget(arch: Architecture, setting: Setting, gpu: Gpu) -> int:
    """The largest `patch_budget` that fits, a multiple of `PATCH_STEP` up to 2^20; 0: none does."""
    return _largest(lambda patches: _fits(arch, replace(setting, patch_budget=patches), gpu), PATCH_STEP)


def _fits(arch: Architecture, setting: Setting, gpu: Gpu) -> bool:
    return memory_of(arch, setting).fits(gpu)


def _largest(fits: Callable[[int], bool], step: int) -> int:
    """By halving: what a row needs grows with it."""
    low, high = 0, _LARGEST_BUDGET // step + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * step) else (low, middle)
    return low * step
