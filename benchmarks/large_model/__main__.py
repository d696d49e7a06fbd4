"""Loading and exporting a model that no rank holds: what eight ranks on one machine hold of it, over its own bytes.

    load      weights in safetensors files -> ZeRO-3 shards, which lie on GPUs in a training and are left out here
    export    shards -> files -> the audit in a process of its own, over what the ranks held before

The shape is that of 72B in small: a weight is at most 2 % of them all. Bytes are PSS, in which
pages that ranks share count once. From the project's root:

    python -m benchmarks.large_model --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.gpu_step.cases import SPECIAL_IDS
from benchmarks.large_model.memory import Peaks
from benchmarks.large_model.ranks import PHASES, VOCABULARY, measure_rank
from rm_core.model.backbone import new_backbone
from rm_core.model.shape_config import backbone_config
from rm_core.model.shapes import SHAPES, Tower

RANKS = 8
GOALS: Goals = {"load_over_model": ("at_most", 1.3), "export_over_model": ("at_most", 1.3)}


def write_model(folder: str, hidden: int, layers: int) -> int:
    """A backbone with the proportions of 72B and `hidden` columns; returns its bytes."""
    tower = Tower(hidden=64, intermediate=128, layers=4, heads=4, full_attention_blocks=(3,))
    SHAPES["large_model"] = replace(
        SHAPES["72b"], hidden=hidden, intermediate=3 * hidden + hidden // 2, layers=layers, heads=8, kv_heads=1,
        vocab=VOCABULARY, tower=tower,
    )  # fmt: skip
    config = backbone_config("large_model", vocab_size=VOCABULARY, special_ids=SPECIAL_IDS)
    backbone = new_backbone(config, seed=0, dtype=torch.bfloat16)
    size = sum(parameter.nbytes for parameter in backbone.parameters())
    backbone.save_pretrained(folder, max_shard_size=size // 36)
    return size


def measured(layers: int) -> dict[str, float]:
    """One group of ranks."""
    with tempfile.TemporaryDirectory(prefix="basereward-large-model-") as folder:
        write_model(os.path.join(folder, "tiny"), 64, 2)
        size = write_model(os.path.join(folder, "model"), 768, layers)
        os.sync()
        # What is freed goes back to the system at once, as with weights of 72B, which are larger than the heap takes.
        os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.large_model.ranks"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        phase, seen = context.Value("i", 0), context.Value("i", 0)
        shards = context.Array("q", RANKS, lock=False)
        ranks = [
            context.Process(target=measure_rank, args=(rank, RANKS, port, folder, phase, seen, shards))
            for rank in range(RANKS)
        ]
        start_s = time.perf_counter()
        for process in ranks:
            process.start()
        peaks = Peaks([process.pid or 0 for process in ranks], "tiny", lambda: sum(shards))
        peaks.watch(
            lambda: PHASES[phase.value],
            lambda: any(process.is_alive() for process in ranks),
            lambda name: setattr(seen, "value", PHASES.index(name)),
        )
        if any(process.exitcode for process in ranks):
            raise RuntimeError(f"ranks ended with {[process.exitcode for process in ranks]}")
        files = len(list(Path(folder, "model-export").glob("model-*.safetensors")))
    load, exported = (peaks.most[name] - peaks.first[name] for name in ("load", "export"))
    return {
        "ranks": RANKS, "model_mb": size / 1e6, "files": files,
        "load_mb": load / 1e6, "load_over_model": load / size,
        "export_mb": exported / 1e6, "export_over_model": exported / size,
        "samples_load": peaks.samples["load"], "samples_export": peaks.samples["export"],
        "seconds": time.perf_counter() - start_s,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Measure, compare with the goals; 1 where one is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_model", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a model of 360 MB in place of 610: within 5 minutes")
    parser.add_argument("--output", help="a file for the figures with command and hardware")
    options = parser.parse_args(argv)
    figures = measured(layers=24 if options.quick else 40)
    for name, value in figures.items():
        print(f"{name:28}{value:>14.3f}")
    return finish("benchmarks.large_model", argv, hardware("torch", "deepspeed"), figures, GOALS, options.output)


if __name__ == "__main__":
    sys.exit(main())
