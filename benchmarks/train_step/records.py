"""The real records of `benchmarks.train_step`, made into tokens by the project's own adapters and encoder.

    records of a file -> adapter -> Comparison and its images -> EncodedComparison -> a sample at even quantiles

A few Comparisons decide how much packing saves: one long answer pads a whole micro-batch. So the sample is not drawn
but taken at even quantiles of length over the pool: its spread of lengths is the pool's, with less than the pool's
longest answers.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_pipeline.config import EncodeConfig, FieldMap, PreprocessConfig, SourceConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.transform.row_builder import RowBuilder

__all__ = ["CASES", "Case", "encoded_pool", "missing_files", "sample", "tokenizer_beside"]

MAX_PIXELS = 256 * 28 * 28
"""256 tokens an image at most."""
MAX_TOKENS = 2048
"""Prompt and longest response; what is longer is left out, on every side."""
MAX_POOL = 512
"""Comparisons that are made into tokens for one case."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of real set.

    Attributes:
        name: of its figures: ratio_NAME.
        sources: files below the folder of real data, each with its record shape.
        num_responses: Comparisons of so many responses are used.
        goal: how many times as fast as the reference.
    """

    name: str
    sources: tuple[SourceConfig, ...]
    num_responses: tuple[int, ...]
    goal: float


CASES = (
    Case(
        name="k2_images", num_responses=(2,), goal=2.0,
        sources=(
            SourceConfig(
                name="mllm_bench", path="real/mllm_bench/mllm_bench.jsonl", fields=FieldMap(prompt="question")
            ),
        ),
    ),
    Case(
        name="k4_images", num_responses=(3, 4, 5), goal=3.2,
        sources=(SourceConfig(name="caption_contest", path="real/caption_contest/caption_contest.jsonl"),),
    ),
    Case(
        name="text", num_responses=(2,), goal=2.2,
        sources=(
            SourceConfig(name="hh_rlhf", path="text/hh_rlhf/harmless_base_test.jsonl.gz", shape="hh_rlhf"),
            SourceConfig(name="dpo_en_demo", path="text/llama_factory_demo/dpo_en_demo.json", shape="sharegpt"),
        ),
    ),
)  # fmt: skip
"""Groups of 3, 4 and 5 captions, 4.0 on average; text from dialogues with short and instructions with long answers."""


def missing_files(data: Path, tokenizer: Path, cases: Sequence[Case] = CASES) -> list[Path]:
    """Files of the cases that are not below `data`, and the definition of the tokenizer that is not in its folder."""
    paths = [*(data / source.path for case in cases for source in case.sources), tokenizer / "tokenizer.json"]
    return [path for path in paths if not path.is_file()]


def tokenizer_beside(data: Path) -> str:
    """The folder of the tokenizer that is handed out with the real sets."""
    return str(data.parent / "tokenizers" / "qwen2_5")


def encoded_pool(case: Case, data: Path, tokenizer: ChatTokenizer, *, size: int = MAX_POOL) -> list[EncodedComparison]:
    """At most `size` Comparisons of the case, evenly over its sources.

    Raises:
        MissingInput: not one record is of use.
    """
    share = -(-size // len(case.sources))
    pool = [item for source in case.sources for item in islice(_comparisons(case, source, data, tokenizer), share)]
    if not pool:
        raise MissingInput(f"no Comparison of {case.num_responses} responses in {[s.path for s in case.sources]}")
    return pool[:size]


def _comparisons(case: Case, source: SourceConfig, data: Path, tokenizer: ChatTokenizer) -> Iterator[EncodedComparison]:
    """The source's Comparisons in the order of its file; refused records and longer ones are left out."""
    config = PreprocessConfig(encode=EncodeConfig(max_pixels=MAX_PIXELS))
    url = str(data / source.path)
    builder = RowBuilder(source, os.path.dirname(url), config, Encoder(tokenizer, config.encode))
    for row, record in read_rows(url):
        if isinstance(record, RecordError):
            continue
        for _, made in builder.items(record, row):
            if isinstance(made, RecordError) or made.shard_row is None:
                continue
            encoded = made.shard_row.encoded
            if len(encoded.response_ids) in case.num_responses and _fits(encoded):
                yield encoded


def _fits(encoded: EncodedComparison) -> bool:
    try:
        check_length(encoded, MAX_TOKENS)
    except RecordError:
        return False
    return True


def sample(pool: Sequence[EncodedComparison], count: int) -> list[EncodedComparison]:
    """`count` Comparisons at even quantiles of length; fewer where the pool has fewer.

    Of lengths 1 to 100, a sample of 4 holds those of rank 13, 38, 63 and 88.
    """
    ordered = sorted(pool, key=lambda item: (item.num_tokens, item.id))
    count = min(count, len(ordered))
    return [ordered[int((place + 0.5) * len(ordered) / count)] for place in range(count)]
