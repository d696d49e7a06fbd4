"""Does an exported folder hold the model that was trained?

`python -m rm_core.model_folder.verify FOLDER` reloads it in a process of its own, looks at every tensor, scores the row
that the trained engine scored last, and compares. Exit code 0 and one line, or 1 and the reason.
"""

import argparse
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from data_pipeline.errors import BaserewardError, CorruptData, RunError
from rm_core.batches.packed import with_indices
from rm_core.model.reward_model import Output, RewardModel
from rm_core.model_folder.fixture import FIXTURE, Fixture, read_fixture
from rm_core.model_folder.folder import load_reward_model, verify_folder

__all__ = ["audit_export", "main", "tolerance", "verify_export"]

_OF_A_GROUP = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
_BF16_ROUNDING = 2.0**-9
"""Largest relative error of rounding to bfloat16, which keeps 8 significant bits."""


def verify_export(folder: str, *, report: Callable[[str], None] = lambda what: None) -> str:
    """Reload and re-score an exported reward model on the CPU; returns one line of what was found.

    Args:
        report: is told of each file, tensor and layer before it is looked at.

    Raises:
        MissingInput: no reward head or no fixture there.
        CorruptData: a checksum differs, a tensor is missing, empty or not finite, or rewards differ; with numbers.
    """
    verify_folder(folder, report=report)
    num_tensors = _check_tensors(folder, report)
    fixture = read_fixture(folder)
    try:
        report("loading")
        model = load_reward_model(folder, dtype=fixture.dtype, verified=True)
    except RuntimeError as error:  # of PyTorch and Transformers: a name or a shape that the model does not have
        raise CorruptData(f"{folder!r} does not fit its own configuration: {error}") from error
    for place, layer in enumerate(model.layers, 1):
        layer.register_forward_pre_hook(_telling(report, f"layer {place} of {len(model.layers)}"))
    with torch.inference_mode():
        found = model(with_indices(fixture.batch, model.row_format))
    output = found if isinstance(found, Output) else Output(found, None)
    difference, allowed = _compare(folder, fixture, output.rewards, num_layers_of(model))
    _compare_costs(folder, fixture, output.costs, num_layers_of(model))
    return (
        f"{folder}: {num_tensors} tensors are finite, {len(output.rewards)} rewards of {fixture.batch.num_comparisons} "
        f"Comparisons differ by {difference:.1e} at most ({allowed:.1e} allowed)"
    )


def _telling(report: Callable[[str], None], what: str) -> Callable[..., None]:
    def before(*_: object) -> None:
        report(what)

    return before


def audit_export(folder: str, *, silence_s: float = 1200.0, report: Callable[[str], None] = lambda what: None) -> str:
    """`verify_export` in a fresh process without GPUs or a process group, on all CPUs; returns its line.

    A model of 72 billion weights takes a large part of an hour. The process says each part that it comes to, and only
    one that takes too long ends it.

    Args:
        silence_s: seconds for which it may say nothing.
        report: is told of each part.

    Raises:
        RunError: the folder does not hold the trained model, or the process said nothing for too long.
    """
    hidden = {name: value for name, value in os.environ.items() if name not in _OF_A_GROUP}
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = hidden | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "rm_core.model_folder.verify", folder]
    told = [*command, "--progress", "--threads", str(os.cpu_count() or 1)]
    with tempfile.TemporaryFile("w+") as faults, subprocess.Popen(
        told, env=environment, stdout=subprocess.PIPE, stderr=faults, text=True
    ) as process:  # fmt: skip
        try:
            found = _followed(process, silence_s, report)
        except BaseException as error:
            process.kill()  # it would be waited for
            if not isinstance(error, TimeoutError):
                raise
            raise RunError(
                f"{folder!r} was not re-scored: its audit said nothing for {silence_s:.0f} s; "
                f"run `{' '.join(command)}` by hand"
            ) from error
        if process.wait():
            faults.seek(0)
            raise RunError(
                f"the export does not pass its audit (exit code {process.returncode}): "
                f"{faults.read().strip()[-2000:]}; checkpoints are not touched: export again from the last one"
            )
    return found


def _followed(process: subprocess.Popen[str], silence_s: float, report: Callable[[str], None]) -> str:
    """The last line that the process prints; those before it are told.

    Raises:
        TimeoutError: none came for `silence_s`.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.strip())
        lines.put(None)

    threading.Thread(target=read, name="audit", daemon=True).start()
    last = ""
    while True:
        try:
            line = lines.get(timeout=silence_s)
        except queue.Empty as error:
            raise TimeoutError from error
        if line is None:
            return last
        last = line
        report(f"audit: {line}")


def tolerance(expected: Tensor, dtype: torch.dtype, num_layers: int) -> float:
    """How far apart two correct computations of the rewards [R] may lie; in units of the reward.

    float32: 1e-4 of the rewards' spread, or 1e-5 of their size (of 1 where they are smaller), whichever is larger.

    bfloat16: another order of sums changes roundings. Each is 2^-9 of a value at most, four stand in the residual
    stream of a layer, they add up like a random walk, and two computations have one each: sqrt(2 x 4 x layers) x 2^-9
    of the rewards' size, times 4 to be rarely wrong: 12 % at 28 layers.
    """
    spread, size = float(expected.max() - expected.min()), float(expected.abs().max())
    if dtype == torch.float32:
        return max(1e-4 * spread, 1e-5 * max(1.0, size))
    return 4.0 * math.sqrt(8.0 * num_layers) * _BF16_ROUNDING * max(spread, size)


def num_layers_of(model: RewardModel) -> int:
    """Layers that an image's information goes through: of the tower and of the decoder."""
    decoder = int(model.family.text_config(model.backbone.config).num_hidden_layers)
    return decoder + model.family.num_vision_blocks(model.backbone)


def _check_tensors(folder: str, report: Callable[[str], None]) -> int:
    """Read every tensor of the weights' files, one at a time; returns how many."""
    faults, num_tensors = [], 0
    for path in sorted(Path(folder).glob("*.safetensors")):
        if path.name == FIXTURE:
            continue
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # no mapping
                report(name)
                tensor = file.get_tensor(name)
                num_tensors += 1
                if tensor.numel() == 0:
                    faults.append(f"{path.name}: {name} is empty")
                elif bad := tensor.numel() - int(torch.isfinite(tensor).sum()):
                    faults.append(f"{path.name}: {name} has {bad} of {tensor.numel()} values that are not finite")
    if faults:
        raise CorruptData(f"{folder!r} holds {len(faults)} damaged tensors: " + "; ".join(faults[:5]))
    return num_tensors


def _compare(folder: str, fixture: Fixture, rewards: Tensor, num_layers: int) -> tuple[float, float]:
    """(largest difference, what is allowed) of the column of the output that comes nearest to its limit."""
    found: list[tuple[float, float]] = []
    count = len(rewards)
    for expected, given in zip(fixture.rewards.view(count, -1).T, rewards.view(count, -1).T, strict=True):
        allowed = tolerance(expected, fixture.dtype, num_layers)
        differences = (given - expected).abs()
        worst = int(differences.nan_to_num(nan=math.inf).argmax())
        # Not `>`: a reward that is not a number is no agreement either.
        if not float(differences[worst]) <= allowed:
            raise CorruptData(
                f"{folder!r} gives other rewards than the engine that trained it: response {worst} of {count} has "
                f"{float(given[worst]):.6g}, the engine gave {float(expected[worst]):.6g}; {allowed:.2g} is allowed in "
                f"{fixture.dtype}: its weights are not the trained ones"
            )
        found.append((float(differences[worst]), allowed))
    return max(found, key=lambda pair: pair[0] / pair[1] if pair[1] else 0.0)


def _compare_costs(folder: str, fixture: Fixture, given: Tensor | None, num_layers: int) -> None:
    """Refuse a language head that is not the trained one."""
    expected = fixture.costs
    if expected is None or given is None or not len(expected):
        return
    allowed = tolerance(expected, fixture.dtype, num_layers)
    difference = float((given - expected).abs().nan_to_num(nan=math.inf).max())
    if not difference <= allowed:
        raise CorruptData(
            f"{folder!r} finds other tokens likely than the engine that trained it: -log P of one of {len(expected)} "
            f"is {difference:.6g} off, and {allowed:.2g} is allowed in {fixture.dtype}: its language head is not the "
            "trained one"
        )


def _print(what: str) -> None:
    print(what, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 and one line, or 1 and the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m rm_core.model_folder.verify", description=__doc__)
    parser.add_argument("folder", help="an exported reward model")
    parser.add_argument("--progress", action="store_true", help="a line for each file, tensor and layer")
    parser.add_argument("--threads", type=int, help="of PyTorch (default: what it takes by itself)")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        print(verify_export(arguments.folder, report=_print if arguments.progress else lambda what: None))
    except BaserewardError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
