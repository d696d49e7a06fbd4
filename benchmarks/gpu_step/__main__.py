"""Training steps on one GPU: is a packed row equal, is it compiled once, how fast is it, and how fast are padded rows.

    torchrun --nproc_per_node=1 benchmarks/gpu_step/__main__.py --quick      from the project's root, or
    python -m benchmarks.gpu_step

No network, no data, no Ray, no DeepSpeed: random weights of the true 3B and 7B shapes, synthetic Comparisons of an
image of 1,024 tokens, a prompt of 64 and responses around 150. Meant to end within 10 minutes on an H100 of 80 GB, and
`--quick` within 5. A part that does not fit into memory says so, and the next one begins.

    micro            ceilings of products and copies; patch embedding, MLP widths, norm, rotation, gate, each both ways
    equality         16-bit rewards of packed rows and of Transformers, both against float32
    recompilations   graphs compiled over rows of many lengths
    training         3B with AdamW on float32 masters: kernels, the MLP without padding, compiled parts, recomputation,
                     packed against padded for K = 2 and 4
    large            7B, forward and backward without an optimiser: 116 GB would be needed with one

`micro` and `training` come first, and `--output FILE` is written after each part. The last line printed is one JSON
object: figures and goals.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a file, by torchrun
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.common.lengths import Lengths
from benchmarks.gpu_step.micro import micro
from benchmarks.gpu_step.parts import Scale, equality, large_model, recompilations, training
from benchmarks.gpu_step.runs import Timed
from rm_core.model.attention import KERNELS

GOALS: Goals = {
    "mfu_3b": ("at_least", 0.50),
    "ratio_k2": ("at_least", 1.7),
    "bf16_error_ratio": ("at_most", 1.5),
    "recompiles": ("at_most", 4),
}
PARTS = ("micro", "training", "equality", "recompilations", "large")
"""What matters most comes first: a run that is cut keeps what it has."""


class Session:
    """Runs parts and measurements while there is time, and says which did not fit.

    Args:
        limit_s: no measurement begins after so many seconds.
        keep: gets all figures so far after every part.
    """

    def __init__(self, limit_s: float, keep: Callable[[dict[str, Any]], None] = lambda figures: None) -> None:
        self._keep = keep
        self._end_s = time.perf_counter() + limit_s
        self.figures: dict[str, Any] = {}

    def attempt(self, name: str, measure: Callable[[], Timed]) -> Timed | None:
        """The measurement; None, and a figure that says so, where memory or time did not suffice."""
        run: Timed | None = self._guarded(name, measure)
        if run is not None:
            parts = [f"{name:26}{run.s:>9.3f} s{run.rows:>5} rows{run.tokens_per_s:>12,.0f} tokens/s"]
            parts += [] if run.mfu is None else [f"{run.mfu:>8.1%} MFU"]
            parts += [] if run.peak_gb is None else [f"{run.peak_gb:>8.1f} GB"]
            print("".join(parts), flush=True)
        return run

    def part(self, name: str, run: Callable[[], dict[str, Any]]) -> None:
        """Add the part's figures."""
        start_s = time.perf_counter()
        found = self._guarded(name, run) or {}
        self.figures |= found | {f"{name}_part_s": time.perf_counter() - start_s}
        self._keep(self.figures)
        shown = {key: value for key, value in found.items() if isinstance(value, int) or key.startswith(("eq", "bf"))}
        print(f"{name}: {shown}", flush=True)

    def _guarded(self, name: str, run: Callable[[], Any]) -> Any:
        if time.perf_counter() > self._end_s:
            print(f"{name}: skipped, the time is over", flush=True)
            self.figures[f"{name}_skipped"] = 1
            return None
        try:
            return run()
        except torch.cuda.OutOfMemoryError as error:
            print(f"{name}: out of memory: {str(error).splitlines()[0]}", flush=True)
            self.figures[f"{name}_out_of_memory"] = 1
            return None


def gpu_scale(*, quick: bool, kernels: Sequence[str]) -> Scale:
    """The true shapes on this machine's GPU."""
    return Scale(
        device=torch.device("cuda", 0), dtype=torch.bfloat16, shape="3b", large_shape="7b", vocabulary=151_665,
        side=896, prompt=64, response=Lengths(median=150, spread=0.7, longest=512),
        comparisons=16 if quick else 32, repetitions=2 if quick else 3,
        # Kept activations of the 3B model: about 4 MB a token of text, 10 MB one of an image, half of that with
        # `selective`; 60 GB are taken.
        budgets={"full": 16_384, "selective": 4_608, "none": 2_560}, rows=16 if quick else 32,
        asked_kernels=tuple(kernels), compile_parts="parts",
    )  # fmt: skip


def check_scale() -> Scale:
    """A toy on the CPU that goes through the same code."""
    return Scale(
        device=torch.device("cpu"), dtype=torch.float32, shape="tiny", large_shape="tiny", vocabulary=64,
        side=112, prompt=6, response=Lengths(median=8, spread=0.5, longest=16), comparisons=2, repetitions=1,
        budgets={"full": 256, "selective": 128, "none": 128}, rows=3,
    )  # fmt: skip


def measure(scale: Scale, session: Session, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Figures of the parts."""
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "micro": lambda: micro(scale),
        "equality": lambda: equality(scale),
        "recompilations": lambda: recompilations(scale),
        "training": lambda: training(scale, session.attempt),
        "large": lambda: large_model(scale, session.attempt),
    }
    for name in parts:
        session.part(name, runs[name])
    return session.figures


def _keep(facts: dict[str, Any], output: str | None, figures: dict[str, Any]) -> None:
    """What is there so far, in the place of the finished file."""
    if output:
        with open(output, "w", encoding="utf8") as file:
            json.dump({"unfinished": True, "hardware": facts, "figures": figures}, file, indent=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_step", description="Packed and padded training steps on one GPU."
    )
    parser.add_argument("--quick", action="store_true", help="fewer Comparisons and steps: within 5 minutes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default all")
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=[*KERNELS], help="default all that run here")
    parser.add_argument("--limit-s", type=float, help="no measurement begins later; default 540, with --quick 270")
    parser.add_argument("--cpu-check", action="store_true", help="a toy on the CPU: whether the script works")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        print("this benchmark is for one GPU: start it with --nproc_per_node=1", file=sys.stderr)
        return 2
    if not (options.cpu_check or torch.cuda.is_available()):
        print("this machine has no CUDA GPU; --cpu-check runs the same code on a toy", file=sys.stderr)
        return 2
    scale = check_scale() if options.cpu_check else gpu_scale(quick=options.quick, kernels=options.kernels)
    device = "cpu" if options.cpu_check else torch.cuda.get_device_name(scale.device)
    facts = hardware("torch", "transformers", device=device, dtype=str(scale.dtype).removeprefix("torch."))
    session = Session(options.limit_s or (270 if options.quick else 540), partial(_keep, facts, options.output))
    figures = measure(scale, session, options.parts)
    # On a toy nothing is worth timing: that it runs and that rewards are equal is what the check says.
    goals = {name: GOALS[name] for name in ("bf16_error_ratio", "recompiles")} if options.cpu_check else GOALS
    return finish("benchmarks.gpu_step", argv, facts, figures, goals, options.output)


if __name__ == "__main__":
    sys.exit(main())
