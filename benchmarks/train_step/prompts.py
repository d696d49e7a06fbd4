"""The real pairs of `benchmarks.train_step` that share a prompt: prepared by the product with `group_prompts`.

Each prompt has its group, which our side computes, and the same records apart, which the reference computes.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.train_step.counts import grouped
from benchmarks.train_step.records import MAX_PIXELS, MAX_TOKENS, Case
from benchmarks.train_step.turns import Given
from data_pipeline.config import EncodeConfig, PreprocessConfig, RulesConfig, SplitConfig
from data_pipeline.dataset.grouped import GroupedData
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.pipeline import prepare

__all__ = ["PROMPTS", "Prompt", "given_prompts", "prompts_of", "sample_prompts"]

PROMPTS = "k2_grouped_prompts"
"""The case's name."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt: its pairs as one Comparison, and apart."""

    group: EncodedComparison
    records: tuple[EncodedComparison, ...]


def prompts_of(case: Case, data: Path, tokenizer: str, *, max_tokens: int) -> list[Prompt]:
    """All prompts of the case's records.

    Args:
        max_tokens: of a group, which has to fit a packed row.
    """
    with tempfile.TemporaryDirectory(prefix="basereward-prompts-") as folder:
        config = PreprocessConfig(
            sources=list(case.sources), data_root=str(data), output=folder, tokenizer=tokenizer,
            encode=EncodeConfig(max_pixels=MAX_PIXELS), split=SplitConfig(heldout_fraction=0.0),
            rules=RulesConfig(max_tokens=MAX_TOKENS, truncate="nothing"),
            group_prompts=True, group_max_tokens=max_tokens,
        )  # fmt: skip
        prepare(config)
        groups = GroupedData(PreparedData.open(folder))
        return [
            Prompt(group=groups.encoded(place), records=tuple(map(groups.data.encoded_row, rows)))
            for place, rows in enumerate(groups.table["records"].to_pylist())
        ]


def sample_prompts(pool: Sequence[Prompt], count: int) -> list[Prompt]:
    """`count` prompts at even quantiles of what the records apart need, as `records.sample`."""
    ordered = sorted(pool, key=lambda one: (sum(item.num_tokens for item in one.records), one.group.id))
    count = min(count, len(ordered))
    return [ordered[int((place + 0.5) * len(ordered) / count)] for place in range(count)]


def given_prompts(prompts: Sequence[Prompt]) -> Given:
    """A step a prompt, the same on every side."""
    return Given(
        ours=[[one.group] for one in prompts],
        reference=[list(one.records) for one in prompts],
        grouped=[grouped(one.records) for one in prompts],
    )
