"""ms-swift's reward-model training on image pairs; run by `benchmarks.train_step --rivals` with its interpreter.

    python rival_swift.py FOLDER     FOLDER holds job.json, rows.jsonl (ms-swift's own record shape) and model/

Nothing of this project is imported. The last line printed is one JSON object.
"""

import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch

if not torch.cuda.is_available():
    # ms-swift imports torchvision, whose operators for GPUs don't load beside a PyTorch for CPUs; none is called here.
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")

import swift
from swift import RLHFArguments, rlhf_main
from swift.callbacks import TrainerCallback, callbacks_map

ENDS: list[tuple[float, float]] = []
"""Wall and CPU seconds at the end of each optimiser step."""


class StepTimes(TrainerCallback):
    """Fills `ENDS`."""

    def on_step_end(self, *_arguments: Any, **_named: Any) -> None:
        ENDS.append((time.perf_counter(), time.process_time()))


def peak_gb() -> float:
    """The most memory that this process has held; Linux would hand on its parent's as ru_maxrss."""
    status = Path("/proc/self/status").read_text(encoding="utf8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024 / 1e9


def main(folder: Path) -> None:
    """Train over all rows once; the first step is warm-up."""
    job = json.loads((folder / "job.json").read_text(encoding="utf8"))
    torch.set_num_threads(job["threads"])
    callbacks_map["step_times"] = StepTimes
    rlhf_main(
        RLHFArguments(
            rlhf_type="rm", model=str(folder / "model"), model_type="qwen2_5_vl", template="qwen2_5_vl",
            dataset=[str(folder / "rows.jsonl")], tuner_type="full", torch_dtype="float32", attn_impl="sdpa",
            freeze_vit=False, freeze_aligner=False, per_device_train_batch_size=job["micro_batch"],
            gradient_accumulation_steps=job["accumulation"], num_train_epochs=1, learning_rate=1e-5,
            max_length=4096, max_pixels=job["max_pixels"], gradient_checkpointing=False,
            vit_gradient_checkpointing=False,
            dataset_shuffle=False, train_dataloader_shuffle=False, split_dataset_ratio=0.0, save_strategy="no",
            output_dir=str(folder / "output"), report_to=[], callbacks=["step_times"], use_hf=True,
            dataset_num_proc=1, dataloader_num_workers=0, optim="adamw_torch",
        )
    )  # fmt: skip
    steps = len(ENDS) - 1
    count = steps * job["micro_batch"] * job["accumulation"]
    found = {
        "version": swift.__version__,
        "steps": steps,
        "s": (ENDS[-1][0] - ENDS[0][0]) / count,
        "cpu_s": (ENDS[-1][1] - ENDS[0][1]) / count,
        "peak_gb": peak_gb(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
