"""TRL's RewardTrainer on rows of tokens; run by `benchmarks.train_step --rivals`, with the rival's own interpreter.

    python rival_trl.py FOLDER     FOLDER holds job.json and rows.jsonl (chosen_ids, rejected_ids)

Nothing of this project is imported. The last line printed is one JSON object.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForSequenceClassification, TrainerCallback
from trl import RewardConfig, RewardTrainer


class StepTimes(TrainerCallback):
    """Wall and CPU seconds at the end of each optimiser step."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def on_step_end(self, *_arguments: Any, **_named: Any) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))


def peak_gb() -> float:
    """The most memory that this process has held; Linux would hand on its parent's as ru_maxrss."""
    status = Path("/proc/self/status").read_text(encoding="utf8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024 / 1e9


def main(folder: Path) -> None:
    """Train over all rows once; the first step is warm-up."""
    job = json.loads((folder / "job.json").read_text(encoding="utf8"))
    torch.set_num_threads(job["threads"])
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf8").splitlines()]
    torch.manual_seed(0)
    model = Qwen2ForSequenceClassification(Qwen2Config(**job["config"], num_labels=1, attn_implementation="sdpa"))
    arguments = RewardConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=job["micro_batch"],
        gradient_accumulation_steps=job["accumulation"], num_train_epochs=1, learning_rate=1e-5, max_length=None,
        bf16=False, use_cpu=True, gradient_checkpointing=False, dataloader_pin_memory=False,
        save_strategy="no", report_to=[], optim="adamw_torch", disable_tqdm=True,
    )  # fmt: skip
    times = StepTimes()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=job["tokenizer"], pad_token="<|endoftext|>", eos_token="<|im_end|>"
    )
    trainer = RewardTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        callbacks=[times],
    )  # fmt: skip
    trainer.train()
    steps = len(times.ends) - 1
    (first_s, first_cpu_s), (last_s, last_cpu_s) = times.ends[0], times.ends[-1]
    count = steps * job["micro_batch"] * job["accumulation"]
    found = {
        "version": trl.__version__,
        "steps": steps,
        "s": (last_s - first_s) / count,
        "cpu_s": (last_cpu_s - first_cpu_s) / count,
        "peak_gb": peak_gb(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
