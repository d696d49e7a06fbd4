"""Synthetic planning rows with the lengths of real sets, written as a rows file in bounded memory."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.common.lengths import CASES, SIDE, Lengths
from data_pipeline.dataset.tables import ROWS_SCHEMA
from rm_core.packing.row_sizes import CostModel

SEED = 1
GLOBAL_BATCH = 128
TOKENS, PATCHES = 16_384, 32_768
"""Budgets of a row."""
COST_MODEL = CostModel(
    token=12_643_205_120, response=407_371_776, attention_pair=401_408, patch=1_294_397_440, patch_pair=20_480
)
"""Of Qwen2.5-VL-7B; written down here, so that the measured process imports no Transformers."""
PIECE = 1 << 20
COLUMNS = ("id", "prefix_length", "response_lengths", "ranks", "image_patches", "span_frames")
SCHEMA = pa.schema([ROWS_SCHEMA.field(name) for name in COLUMNS])
"""The columns of rows.arrow that planning reads."""
SHARES = (0.55, 0.15, 0.30)
"""Of image pairs, groups of 4 and text pairs: about a public multimodal mixture."""


def write_rows(path: str, count: int, seed: int) -> None:
    """`count` rows into the Arrow file `path`, a record batch of `PIECE` at a time."""
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        for batch in batches(count, seed):
            writer.write_batch(batch)


def batches(count: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Record batches in `SCHEMA`; kinds of Comparisons are mixed."""
    for start in range(0, count, PIECE):
        size = min(PIECE, count - start)
        yield _batch(start, size, np.random.default_rng([seed, start]))


def _batch(start: int, size: int, random: np.random.Generator) -> pa.RecordBatch:
    kind = random.choice(len(CASES), size, p=SHARES)
    num_responses = np.array([case.num_responses for case in CASES])[kind]
    has_image = np.array([case.has_image for case in CASES])[kind]
    tokens_of_image, patches = (SIDE // 28) ** 2 + 2, (SIDE // 14) ** 2
    prefix = _lengths([case.prompt for case in CASES], kind, random) + has_image * tokens_of_image
    responses = _lengths([case.response for case in CASES], np.repeat(kind, num_responses), random)
    ends = np.concatenate([[0], np.cumsum(num_responses)])
    ranks = np.arange(len(responses)) - np.repeat(ends[:-1], num_responses)
    image_ends = np.concatenate([[0], np.cumsum(has_image)])
    columns = [
        pa.array([f"c{i:010d}" for i in range(start, start + size)]),
        pa.array(prefix, pa.int32()),
        _lists(ends, responses),
        _lists(ends, ranks),
        _lists(image_ends, np.full(image_ends[-1], patches)),
        _lists(image_ends, np.zeros(image_ends[-1])),  # still images
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def _lengths(kinds: list[Lengths], kind: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.int64]:
    median = np.log([lengths.median for lengths in kinds])[kind]
    spread = np.array([lengths.spread for lengths in kinds])[kind]
    longest = np.array([lengths.longest for lengths in kinds])[kind]
    return np.clip(np.round(random.lognormal(median, spread)), 2, longest).astype(np.int64)


def _lists(offsets: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))
