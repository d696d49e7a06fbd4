"""Where a rank is: step, row, phase, module; written by the training thread at the cost of a few attributes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Literal, get_args

from torch import Tensor, nn

from rm_core.model.reward_model import RewardModel

__all__ = ["PHASES", "ModuleTrail", "Phase", "Progress", "watched_modules"]

Phase = Literal[
    "start",
    "step mean",
    "loading",
    "forward",
    "backward",
    "optimiser step",
    "metrics",
    "checkpoint",
    "evaluation",
    "export",
    "ended",
]
PHASES: tuple[str, ...] = get_args(Phase)
"""In the order of a step; a rank in an earlier one is behind a rank in a later one. A step's rows are gone through
by `step mean` first, then each by `loading`, `forward`, `backward`."""


@dataclass(slots=True)
class Progress:
    """One rank's place. The training thread writes, the watchdog's threads read; every field is replaced as a whole."""

    step: int = 0
    """Index of the optimiser step."""
    row: int = 0
    """Index of this rank's packed row within the step."""
    phase: Phase = "start"
    module: str = ""
    """Entered last in this phase, forward, backward or recomputed; empty before the first."""
    ids: tuple[str, ...] = ()
    """Comparisons of the row."""
    advances: int = 0
    """Grows with every change; a reader that sees it unchanged counts the time itself."""
    thread: int = 0
    """The identifier of the thread that trains."""

    def enter(self, phase: Phase, step: int | None, row: int | None, ids: Sequence[str] | None) -> None:
        """Begin a phase; what is None stays."""
        if step is not None:
            self.step, self.row = step, 0
        if row is not None:
            self.row = row
        if ids is not None:
            self.ids = tuple(ids)
        self.phase = phase
        self.module = ""
        self.thread = get_ident()
        self.advances += 1

    def at(self, module: str) -> None:
        """Begin a module."""
        self.module = module
        self.advances += 1


class ModuleTrail:
    """Hooks that write into a `Progress` which module of a model runs.

    Forward: a pre-hook before all others, so that a module is named before ZeRO-3 gathers its parameters. Backward: a
    hook on the gradient of the module's output, which returns nothing: gradients keep their bits, where
    `register_full_backward_pre_hook` would put a function of its own around every output. Recomputed activations run
    the forward pre-hook again and are named by it. To be made after the engine, whose own forward hooks wrap outputs.
    """

    def __init__(self, model: RewardModel, progress: Progress) -> None:
        self._handles = []
        for name, module in watched_modules(model):
            self._handles += [
                module.register_forward_pre_hook(_entering(progress, name), prepend=True),
                module.register_forward_hook(_leaving(progress, name)),
            ]

    def remove(self) -> None:
        """Take the hooks out of the model."""
        for handle in self._handles:
            handle.remove()


def watched_modules(model: RewardModel) -> Iterator[tuple[str, nn.Module]]:
    """Layers, at whose border ZeRO-3 gathers, and the modules that own parameters.

    Inside layers whose parts are compiled none is watched: there, hooks would break the graph.
    """
    layers = model.layers
    inside = {module for layer in layers for module in layer.modules()} if model.compiled else set()
    for name, module in model.named_modules():
        owns = next(module.parameters(recurse=False), None) is not None
        if module in layers or (owns and module not in inside):
            yield name, module


def _entering(progress: Progress, name: str) -> Any:
    def enter(_module: nn.Module, _arguments: object) -> None:
        progress.at(name)

    return enter


def _leaving(progress: Progress, name: str) -> Any:
    def leave(_module: nn.Module, _arguments: object, output: object) -> None:
        tensor: Any = output[0] if isinstance(output, tuple) and output else output
        if isinstance(tensor, Tensor) and tensor.requires_grad:
            hook: Any = tensor.register_hook
            hook(lambda _gradient: progress.at(name))

    return leave
