"""The report of one suite: its own numbers by its authors' definitions, and every evaluation's on the same rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from data_pipeline.filtering.groups import connect
from rm_core.evaluation.diagnostics.diagnose import Diagnostics, diagnose
from rm_core.evaluation.diagnostics.probes import Probed
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.results import EvaluationReport
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.given import GivenRewards
from rm_core.evaluation.suites.outcomes import Outcomes, SuiteNumber
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.suite import Layout, SuiteItem
from rm_core.scoring.scored import ScoredComparison

__all__ = ["SuiteReport", "measure", "scored_of"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SuiteReport:
    """All numbers of one suite."""

    suite: str
    num_items: int
    """Rows of the suite; each was counted."""
    num_groups: int
    """Of rows that share no picture and no text-only prompt: what an interval draws."""
    tied_pairs: int
    """Ordered pairs with equal rewards: wrong."""
    num_pairs: int
    """Ordered pairs."""
    not_scored: dict[str, int]
    """Rows without rewards by reason: wrong."""
    without_pictures: int
    """Rows that were scored without pictures that they have."""
    categories: dict[str, int]
    """Rows of each category that is there."""
    numbers: dict[str, SuiteNumber]
    """By name, the main one first."""
    pairs: EvaluationReport | None
    """The rows that have rewards, as in every evaluation, with lengths in characters; None where none has."""
    diagnostics: Diagnostics | None
    """What the score of these rows may rest on."""

    @property
    def title(self) -> str:
        return SUITES[self.suite].title

    @property
    def layout(self) -> Layout:
        return SUITES[self.suite].layout

    @property
    def main(self) -> tuple[str, SuiteNumber]:
        """The suite's main number and its name."""
        return next(iter(self.numbers.items()))

    def table(self) -> list[tuple[str, list[float | None]]]:
        """Label and a value a column, None where the number is not there; rows with none of their own are left out."""
        return [
            (label, [self.numbers[name].value if name in self.numbers else None for name in names])
            for label, names in self.layout.rows.items()
            if all(name == "" or name in self.numbers for name in names) or len(self.layout.rows) == 1
        ]

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists and numbers, ready for `json.dumps`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def measure(
    data: SuiteData,
    given: Sequence[GivenRewards],
    resampling: Resampling,
    probed: Mapping[str, Sequence[Probed]] = MappingProxyType({}),
) -> SuiteReport:
    """Measure a suite.

    Args:
        given: rewards of each of its rows, in their order.
        probed: probe -> the same after its change.
    """
    items = data.items
    rewards = [one.rewards for one in given]
    groups = _groups(items, given)
    outcomes = Outcomes(
        ids=[item.id for item in items],
        ranks=[item.ranks for item in items],
        rewards=rewards,
        categories=[item.category for item in items],
        groups=groups,
        resampling=resampling,
    )
    scored = scored_of(data, given)
    return SuiteReport(
        suite=data.suite.name,
        num_items=len(items),
        num_groups=len(set(groups.tolist())),
        tied_pairs=int(outcomes.tied.sum()),
        num_pairs=int(outcomes.pairs.sum()),
        not_scored=dict(sorted(Counter(one.error.partition(":")[0] for one in given if one.rewards is None).items())),
        without_pictures=sum(one.missing_pictures > 0 for one in given),
        categories=dict(sorted(Counter(item.category for item in items).items())),
        numbers=data.suite.measure(outcomes),
        pairs=None if not scored else evaluate(
            scored, confidence=resampling.confidence, bootstrap_samples=resampling.samples, seed=resampling.seed
        ),
        diagnostics=None if not scored else diagnose(scored, _of_scored(probed, given), resampling),
    )  # fmt: skip


def _of_scored(probed: Mapping[str, Sequence[Probed]], given: Sequence[GivenRewards]) -> dict[str, list[Probed]]:
    """Of the rows that have rewards without a change too."""
    return {
        name: [one for one, own in zip(found, given, strict=True) if own.rewards is not None]
        for name, found in probed.items()
    }


def scored_of(data: SuiteData, given: Sequence[GivenRewards]) -> list[ScoredComparison]:
    """The rows that have rewards as scored Comparisons: id ``INDEX ID``, source ``SUITE/CATEGORY``."""
    groups = _groups(data.items, given)
    return [
        ScoredComparison(
            id=f"{item.index} {item.id}",
            source=f"{data.suite.name}/{item.category}",
            rewards=one.rewards,
            ranks=item.ranks,
            response_lengths=item.lengths,
            num_images=item.num_media,
            group=f"{data.suite.name} {group}",
        )
        for item, one, group in zip(data.items, given, groups.tolist(), strict=True)
        if one.rewards is not None
    ]


def _groups(items: Sequence[SuiteItem], given: Sequence[GivenRewards]) -> Any:
    """int64 [N] equal for rows that a picture, its perceptual twin or a text-only prompt connects.

    A picture is known by its name and, where it was read, by its bytes and looks.
    """
    keys = [[*item.keys, *(f"sha256:{key}" for key in one.pictures)] for item, one in zip(items, given, strict=True)]
    hashes = [[*(0 for _ in item.keys), *one.hashes] for item, one in zip(items, given, strict=True)]
    return connect(
        pa.chunked_array([pa.array(keys, pa.list_(pa.string()))]),
        pa.chunked_array([pa.array(hashes, pa.list_(pa.uint64()))]),
        pa.chunked_array([pa.array([item.prompt_key for item in items], pa.string())]),
    ).of_rows
