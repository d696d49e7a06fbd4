"""Does an exported folder hold the model that was trained?

`python -m rm_core.model_folder.verify FOLDER` reloads it in a process of its own, looks at every tensor, scores the row
that the trained engine scored last, and compares. Exit code 0 and one line, or 1 and the reason.
"""

import argparse
import math
import os
import subprocess
import sys
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


def verify_export(folder: str) -> str:
    """Reload and re-score an exported reward model on the CPU; returns one line of what was found.

    Raises:
        MissingInput: no reward head or no fixture there.
        CorruptData: a checksum differs, a tensor is missing, empty or not finite, or rewards differ; with numbers.
    """
    verify_folder(folder)
    num_tensors = _check_tensors(folder)
    fixture = read_fixture(folder)
    try:
        model = load_reward_model(folder, dtype=fixture.dtype)
    except RuntimeError as error:  # of PyTorch and Transformers: a name or a shape that the model does not have
        raise CorruptData(f"{folder!r} does not fit its own configuration: {error}") from error
    with torch.inference_mode():
        found = model(with_indices(fixture.batch, model.row_format))
    output = found if isinstance(found, Output) else Output(found, None)
    difference, allowed = _compare(folder, fixture, output.rewards, num_layers_of(model))
    _compare_costs(folder, fixture, output.costs, num_layers_of(model))
    return (
        f"{folder}: {num_tensors} tensors are finite, {len(output.rewards)} rewards of {fixture.batch.num_comparisons} "
        f"Comparisons differ by {difference:.1e} at most ({allowed:.1e} allowed)"
    )


def audit_export(folder: str, *, timeout_s: float = 3600.0) -> str:
    """`verify_export` in a fresh process without GPUs or a process group; returns its line.

    Raises:
        RunError: the folder does not hold the trained model, or the process did not end in time.
    """
    hidden = {name: value for name, value in os.environ.items() if name not in _OF_A_GROUP}
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = hidden | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "rm_core.model_folder.verify", folder]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"{folder!r} was not re-scored in {timeout_s:.0f} s; run `{' '.join(command)}` by hand"
        ) from error
    if done.returncode:
        raise RunError(
            f"the export does not pass its audit (exit code {done.returncode}): {done.stderr.strip()[-2000:]}; "
            "checkpoints are not touched: export again from the last one"
        )
    return done.stdout.strip()


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


def _check_tensors(folder: str) -> int:
    """Read every tensor of the weights' files, one at a time; returns how many."""
    faults, num_tensors = [], 0
    for path in sorted(Path(folder).glob("*.safetensors")):
        if path.name == FIXTURE:
            continue
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # no mapping
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


def main(argv: list[str] | None = None) -> int:
    """Exit code 0 and one line, or 1 and the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m rm_core.model_folder.verify", description=__doc__)
    parser.add_argument("folder", help="an exported reward model")
    arguments = parser.parse_args(argv)
    try:
        print(verify_export(arguments.folder))
    except BaserewardError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
