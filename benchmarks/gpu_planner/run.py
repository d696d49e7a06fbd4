"""One case of `benchmarks.gpu_planner`: the real engine on one rank, the same row again and again."""

import gc
import os
import tempfile
import time
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.common.lengths import Lengths
from benchmarks.gpu_planner.cases import Case
from benchmarks.gpu_step.cases import SPECIAL_IDS, Kind, make_comparisons, noise
from benchmarks.gpu_step.models import new_model
from rm_core.batches.packed import PackedBatch, collate
from rm_core.model.flops import Flops, peak_flops
from rm_core.model.lora import add_adapters
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.planner.architecture import architecture_of
from rm_core.planner.memory import memory_of
from rm_core.planner.setting import Setting
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.train_config.parameter_groups import adapted_groups, freeze
from rm_core.train_config.weights import GroupConfig, WeightsConfig
from rm_core.training.engines.choose import make_engine
from rm_core.training.engines.interface import Engine

__all__ = ["run_case", "train_config"]

_VOCABULARY = 151_665
_STEPS = 3
_ROWS = 2
_RECOMPUTED = {"none": 0.0, "selective": 0.0, "full": 1.0}


def run_case(case: Case) -> dict[str, float]:
    """Planned and measured bytes, and the share of the GPU's peak that a row reaches; on a CPU only that it runs."""
    on_gpu = torch.cuda.is_available()
    config = train_config(case, on_gpu=on_gpu)
    _join_group(on_gpu=on_gpu)
    items = make_comparisons(_kind(case), case.comparisons, seed=0)
    model = _model(case, config, torch.device("cuda", 0) if on_gpu else torch.device("cpu"))
    engine = make_engine(model, config, lambda part, step: 1.0)
    model.use_attention(config.attention)  # before the row: a kernel may want its length a multiple of something
    row = collate(items, row_format=model.row_format, load_image=noise)
    planned = memory_of(*_planned(case, config, row))
    model.train()
    seconds = _train(engine, Objective(ObjectiveConfig()), row)
    dist.destroy_process_group()
    if not on_gpu:
        return {"rows": float(_ROWS * _STEPS)}
    peak = float(torch.cuda.max_memory_allocated())
    flops = Flops.of(model.backbone.config)
    forward = sum(
        flops.forward(len(one.prefix_ids), [len(ids) for ids in one.response_ids], [span.grid for span in one.images])
        for one in items
    )
    gpu_peak = peak_flops(torch.cuda.get_device_name(0), torch.bfloat16)
    found = {
        "planned_gb": planned.peak / 1e9,
        "measured_gb": peak / 1e9,
        "planned_over_measured": planned.peak / peak,
        "needed_gb": planned.needed / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
        "tokens": float(row.num_tokens),
        "row_s": seconds,
    }
    if gpu_peak is not None:
        backward = 1.0 if case.lora else 2.0  # weights that stand still have no gradient of their own
        computed = forward * (1 + backward + _RECOMPUTED[case.recompute])
        found["efficiency"] = computed / (seconds * gpu_peak)
    return found


def train_config(case: Case, *, on_gpu: bool) -> TrainConfig:
    """What a recipe would say."""
    weights = WeightsConfig()
    if case.lora:
        frozen = GroupConfig(train="frozen")
        weights = WeightsConfig(vision=frozen, embeddings=frozen, language=GroupConfig(train="lora"))
    return TrainConfig(
        num_workers=1,
        precision="bf16" if on_gpu or case.stage else "fp32",
        engine=case.engine,
        zero=ZeroConfig(stage=case.stage),
        activation_checkpointing=case.recompute,
        attention="flex" if on_gpu else "sdpa",
        weights=weights,
    )


def _join_group(*, on_gpu: bool) -> None:
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533"}
    place = tempfile.mkdtemp(prefix="gpu-planner-")
    dist.init_process_group("nccl" if on_gpu else "gloo", init_method=f"file://{place}/store", world_size=1, rank=0)


def _kind(case: Case) -> Kind:
    tiny = case.shape == "tiny"
    return Kind(
        num_responses=2, side=112 if tiny else 896, prompt=6 if tiny else 64, vocabulary=64 if tiny else _VOCABULARY,
        response=Lengths(median=8 if tiny else 150, spread=0.5, longest=16 if tiny else 512),
    )  # fmt: skip


def _model(case: Case, config: TrainConfig, device: torch.device) -> RewardModel:
    """Made on the device, which is quick, and moved to host memory, from where a training begins."""
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    model = new_model(case.shape, vocabulary=_kind(case).vocabulary, device=device, dtype=dtype).to("cpu")
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model.recompute_activations(config.activation_checkpointing)
    add_adapters(model, adapted_groups(config), config.lora, config.seed)
    freeze(model, config, model.family.model_type)
    return model


def _planned(case: Case, config: TrainConfig, row: PackedBatch) -> tuple[Any, Setting]:
    """Sizes of the model, and the setting with exactly this row."""
    backbone = backbone_config(case.shape, vocab_size=_kind(case).vocabulary, special_ids=SPECIAL_IDS)
    exact = replace(config, token_budget=row.layout.num_tokens, patch_budget=row.num_patches)
    return architecture_of(backbone, config), Setting.of(exact)


def _train(engine: Engine, objective: Objective, row: PackedBatch) -> float:
    """Take steps of the same rows; returns the fewest seconds of a row after the first step."""
    best = float("inf")
    for step in range(_STEPS):
        if step == 1 and engine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for number in range(1, _ROWS + 1):
            start_s = _now(engine.device)
            judged = objective(engine.forward(row.to(engine.device)), row.labels)
            engine.backward(judged.terms["rank"].sum / row.labels.num_pairs, last_row=number == _ROWS)
            if step:
                best = min(best, _now(engine.device) - start_s)
        engine.step()
    return best


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
