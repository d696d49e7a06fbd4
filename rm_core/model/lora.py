"""LoRA: low-rank adapters in the place of full training, and their way back into plain weights.

The only module that imports PEFT.

    y = W x + b + (alpha / rank) B A dropout(x)          A [rank, in], B [out, rank], B = 0 at the start

W and b stand still, A and B train. Hu et al. 2021, arXiv 2106.09685; vision towers and mergers get adapters as decoders
do. A layer ``q_proj`` becomes ``q_proj.base_layer``, ``q_proj.lora_A.default`` and ``q_proj.lora_B.default``, which are
of the same group of weights as before; `merged` gives the exported model its plain names back.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from data_pipeline.bounds import check_bounds
from data_pipeline.errors import RecipeError, RunError
from rm_core.model.config import LoraConfig
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel

__all__ = ["add_adapters", "merged"]

_BASE, _A, _B = ".base_layer.weight", ".lora_A.default.weight", ".lora_B.default.weight"


def add_adapters(model: RewardModel, groups: set[str], config: LoraConfig, seed: int) -> int:
    """Freeze the weights of `groups` and put trainable adapters beside their linear layers.

    The model's output does not change, and other groups train as before. Adapters are of the layer's type and device.

    Args:
        groups: of ``vision``, ``merger`` and ``language``; empty: nothing happens.
        seed: of the adapters' weights, which are the same on every rank; the global random state is left as it was.

    Returns:
        How many weights the adapters have.

    Raises:
        RecipeError: bad values; a group without such layers; a target that names no layer of `groups`.
    """
    check_bounds(config, "train.lora")
    if not groups:
        return 0
    layers = _layers(model, groups, config.targets)
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    _inject(model, layers, config, seed)
    model.family.prepare(model.backbone)
    model_type = model.family.model_type
    num_weights = 0
    for name, parameter in model.named_parameters():
        if name.endswith((_A, _B)):
            num_weights += parameter.numel()
        else:
            # PEFT freezes everything that is no adapter.
            parameter.requires_grad_(name in trained and group_of(name, model_type) not in groups)
    return num_weights


def merged(weights: Iterable[tuple[str, Tensor]], config: LoraConfig) -> Iterator[tuple[str, Tensor]]:
    """Names and weights of the plain model: every adapter is added to its layer, W + (alpha / rank) B A.

    The sum is float32, the result of the type of W. A stream without adapters comes out as it is. Of a stream in the
    order of `named_parameters` one layer is held back at a time; in another order, layers whose parts have not all
    come.

    Args:
        weights: of a model with adapters, in any order.
        config: what the adapters were made with.

    Raises:
        RunError: the stream ended without all parts of a layer, or adapters are of another rank.
    """
    waiting: dict[str, dict[str, Tensor]] = {}
    for name, value in weights:
        part = next((part for part in (_BASE, _A, _B) if name.endswith(part)), None)
        if part is None:
            yield name.replace(".base_layer.", "."), value
            continue
        layer = name.removesuffix(part)
        parts = waiting.setdefault(layer, {})
        parts[part] = value
        if len(parts) == 3:
            yield f"{layer}.weight", _sum(layer, waiting.pop(layer), config)
    if waiting:
        layer, parts = next(iter(waiting.items()))
        raise RunError(f"of {len(waiting)} layers with adapters not all parts came: of {layer!r} only {sorted(parts)}")


def _sum(layer: str, parts: dict[str, Tensor], config: LoraConfig) -> Tensor:
    base, a, b = parts[_BASE], parts[_A].float(), parts[_B].float()
    if len(a) != config.rank:
        raise RunError(f"adapters of {layer!r} have the rank {len(a)}, and train.lora.rank={config.rank}")
    return torch.addmm(base.float(), b, a, alpha=config.alpha / config.rank).to(base.dtype)


def _layers(model: RewardModel, groups: set[str], targets: Sequence[str]) -> list[str]:
    """Names of the linear layers that get adapters."""
    found: dict[str, str] = {}
    model_type = model.family.model_type
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and (group := group_of(name + ".weight", model_type)) in groups:
            found[name] = group
    chosen = [name for name in found if not targets or any(_is_target(name, target) for target in targets)]
    for target in targets:
        if not any(_is_target(name, target) for name in chosen):
            raise RecipeError(
                f"train.lora.targets names {target!r}, which is no linear layer of {_listed(groups)}; "
                f"there are {_listed({name.rpartition('.')[2] for name in found})}"
            )
    if missing := groups - {found[name] for name in chosen}:
        raise RecipeError(
            f"train.lora.targets={list(targets)} finds no linear layer in {_listed(missing)} of a {model_type} "
            "backbone: leave it empty for all layers, or train that group in full or not at all (train.weights)"
        )
    return chosen


def _is_target(name: str, target: str) -> bool:
    return name.endswith(f".{target}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _inject(model: RewardModel, layers: Sequence[str], config: LoraConfig, seed: int) -> None:
    # Imported here: PEFT takes seconds, which only trainings with adapters shall pay.
    import peft

    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # any number does: it is only divided by the rank
        lora_dropout=config.dropout,
        target_modules="|".join(map(re.escape, layers)),
    )
    # Modules are made on the CPU, so that a GPU's random state is not touched.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        peft.inject_adapter_in_model(settings, model)
    # New modules are in training mode; in a model that scores, their dropout would be active.
    model.train(model.training)
