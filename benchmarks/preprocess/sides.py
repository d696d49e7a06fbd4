"""The three sides of `benchmarks.preprocess`, each on two processes: ours, `datasets.map`, and the bare kernels."""

import multiprocessing
import os
import resource
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.preprocess.records import MAX_PIXELS, Work
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.encoding.template import chat_template
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.media import decode_rgb, smart_resize
from data_pipeline.pipeline import finish, plan_units, prepare, run_unit
from data_pipeline.transform.units import WorkUnit
from jobs.preprocess.unit_log import peak_memory

__all__ = [
    "PROCESSES",
    "Pool",
    "Run",
    "bytes_below",
    "fresh_pool",
    "kernels",
    "ours",
    "peak_of_one_worker",
]

PROCESSES = 2
Pool = ProcessPoolExecutor


@dataclass(frozen=True, kw_only=True)
class Run:
    """One repetition of one side.

    Attributes:
        wall_s: from the call to the last byte written, start-up of processes left out.
        cpu_s: CPU seconds of the worker processes, their start-up left out.
        output_bytes: on disk.
        stages: seconds of the parts of `wall_s`.
    """

    wall_s: float
    cpu_s: float
    output_bytes: int = 0
    stages: dict[str, float]


def ours(work: Work, output: str, rows_per_unit: int, pool: Pool) -> tuple[Run, Manifest]:
    """Plan, run every unit in the pool, finish: a folder that training reads."""
    shutil.rmtree(output, ignore_errors=True)
    config = work.config(output, rows_per_unit)
    times = [time.perf_counter()]
    units = plan_units(config)
    times.append(time.perf_counter())
    cpu_s = sum(pool.map(partial(_unit, config=config), units))
    times.append(time.perf_counter())
    manifest = finish(config, units)
    times.append(time.perf_counter())
    stages = dict(zip(("plan", "units", "finish"), (b - a for a, b in pairwise(times)), strict=True))
    run = Run(wall_s=times[-1] - times[0], cpu_s=cpu_s, output_bytes=bytes_below(output), stages=stages)
    return run, manifest


def _unit(unit: WorkUnit, config: PreprocessConfig) -> float:
    before = time.process_time()
    run_unit(unit, config)
    return time.process_time() - before


def kernels(work: Work, rows_per_unit: int, pool: Pool) -> Run:
    """Only what nobody can leave out, in a plain loop: decode and resize images, tokenise texts.

    An image or a text that comes again in a process is not done again. Nothing is written.
    """
    rows = work.rows()
    parts = [rows[start : start + rows_per_unit] for start in range(0, len(rows), rows_per_unit)]
    begin = time.perf_counter()
    cpu_s = sum(pool.map(partial(_kernels, folder=work.folder, tokenizer=work.tokenizer), parts))
    return Run(wall_s=time.perf_counter() - begin, cpu_s=cpu_s, stages={})


_TOKENIZERS: dict[str, Any] = {}
_SEEN: set[str] = set()


def _kernels(rows: list[dict[str, Any]], folder: str, tokenizer: str) -> float:
    before = time.process_time()
    if tokenizer not in _TOKENIZERS:  # our side keeps it over its units too
        _TOKENIZERS[tokenizer] = load_tokenizer(tokenizer)
    encode = _TOKENIZERS[tokenizer].encode
    for row in rows:
        for text in (row["question"], row["chosen"], row["rejected"]):
            if text not in _SEEN:
                _SEEN.add(text)
                encode(text)
        if "image" in row and row["image"] not in _SEEN:
            _SEEN.add(row["image"])
            data = Path(folder, row["image"]).read_bytes()
            picture = decode_rgb(data)
            height, width = smart_resize(picture.height, picture.width, max_pixels=MAX_PIXELS)
            picture.resize((width, height), 3)
    return time.process_time() - before


class HfDatasets:
    """`datasets.map(num_proc=2)` with Hugging Face's image processor (Pillow) and tokenizer; float32 patches out.

    In its favour: an image is processed once a pair and not once a response, and texts are joined by hand.

    Attributes:
        start_s: what `map` takes over two records: forking, and hashing the function.
        start_cpu_s: CPU seconds of its processes then.
    """

    def __init__(self, work: Work, scratch: str) -> None:
        import datasets

        datasets.disable_progress_bars()
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self._function = partial(_processed, folder=work.folder, processor=_processor(work.tokenizer))
        self._scratch = scratch
        rows = work.rows()
        self._table = datasets.Dataset.from_list(rows)
        before = _children_cpu_s()
        self.start_s = _map(datasets.Dataset.from_list(rows[:PROCESSES]), self._function, scratch)
        self.start_cpu_s = _children_cpu_s() - before

    def run(self) -> Run:
        """Map all records."""
        before = _children_cpu_s()
        wall_s = _map(self._table, self._function, self._scratch)
        return Run(
            wall_s=wall_s - self.start_s,
            cpu_s=_children_cpu_s() - before - self.start_cpu_s,
            output_bytes=bytes_below(self._scratch),
            stages={},
        )


def _children_cpu_s() -> float:
    """CPU seconds of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _map(table: Any, function: Any, scratch: str) -> float:
    shutil.rmtree(scratch, ignore_errors=True)
    os.makedirs(scratch)
    begin = time.perf_counter()
    table.map(
        function,
        num_proc=PROCESSES,
        cache_file_name=os.path.join(scratch, "mapped.arrow"),
        load_from_cache_file=False,
        writer_batch_size=32,
        remove_columns=table.column_names,
    )
    return time.perf_counter() - begin


@dataclass(frozen=True)
class _Processor:
    """Image processor and tokenizer, used as `Qwen2_5_VLProcessor` uses them (which itself asks for torchvision)."""

    image: Any
    text: Any
    template: str


def _processor(tokenizer: str) -> _Processor:
    from transformers import AutoTokenizer, Qwen2VLImageProcessorPil

    image = Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=MAX_PIXELS)
    return _Processor(image, AutoTokenizer.from_pretrained(tokenizer), chat_template())


def _processed(row: dict[str, Any], folder: str, processor: _Processor) -> dict[str, Any]:
    from PIL import Image

    with Image.open(os.path.join(folder, row["image"])) as file:
        pixels = processor.image(images=[file.convert("RGB")], return_tensors="np")
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row["question"]}]}
    prompt = processor.text.apply_chat_template(
        [turn], chat_template=processor.template, add_generation_prompt=True, tokenize=False
    )
    count = int(pixels["image_grid_thw"][0].prod()) // 4
    prompt = prompt.replace("<|image_pad|>", "<|image_pad|>" * count)
    answers = [row["chosen"] + "<|im_end|>", row["rejected"] + "<|im_end|>"]
    ids = processor.text([prompt, *answers], add_special_tokens=False)["input_ids"]
    return {
        "prompt_ids": ids[0],
        "chosen_ids": ids[1],
        "rejected_ids": ids[2],
        "pixel_values": pixels["pixel_values"],
        "image_grid_thw": pixels["image_grid_thw"],
    }


def peak_of_one_worker(work: Work, output: str, rows_per_unit: int) -> int:
    """Bytes that a fresh process held at most while it did all units of `work` one after the other."""
    shutil.rmtree(output, ignore_errors=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak, work.config(output, rows_per_unit)).result()


def _peak(config: PreprocessConfig) -> int:
    for unit in plan_units(config):
        run_unit(unit, config)
    return peak_memory()


def bytes_below(folder: str) -> int:
    """Bytes of all files in the folder and below it."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


@contextmanager
def fresh_pool(work: Work, scratch: Path) -> Iterator[tuple[Pool, float]]:
    """New processes that have done one text record and know no image yet, and the seconds that took.

    New for every repetition: a worker remembers what it has decoded, and would know it all the second time.
    """
    begin = time.perf_counter()
    record = scratch / "warm.jsonl"
    record.write_text('{"question": "Which?", "chosen": "This one.", "rejected": "That one."}\n', encoding="utf8")
    first = replace(work, records=str(record))
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(_warm, first), [str(scratch / f"warm{i}") for i in range(PROCESSES)]))
        yield pool, time.perf_counter() - begin


def _warm(work: Work, output: str) -> None:
    shutil.rmtree(output, ignore_errors=True)
    prepare(work.config(output, 1))
    _kernels(work.rows(), work.folder, work.tokenizer)
    time.sleep(1.0)  # so that the next call goes to the other process
