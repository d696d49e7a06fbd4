"""What is in a folder of prepared data, as numbers, and whether these numbers add up.

Everything here is computed from the rows and the quarantine; the manifest's counts are what they are compared with.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.inspection.histogram import Distribution, distribution
from data_pipeline.inspection.quarantine import Refused

__all__ = ["Budgets", "Check", "DataSummary", "SourceSummary", "summarise"]

PATCHES_A_TOKEN = 4

Numbers = npt.NDArray[np.int64]


@dataclass(kw_only=True)
class SourceSummary:
    """One source, or all together. An epoch is one pass over the training split with its repeats.

    Attributes:
        seen: items: Comparisons made and records refused; kept + refused, counted from rows and quarantine.
        by_split: kept Comparisons of each split.
        shown: Comparisons an epoch shows.
        tokens: tokens an epoch computes, each prompt once a Comparison, or once a group.
        vision_tokens: those of them that stand for images and videos.
        repeats: the least and the most times that an epoch shows one of its training Comparisons.
        groups: grouped Comparisons that the kept ones became; 0 where they are not grouped.
    """

    seen: int = 0
    kept: int = 0
    refused: int = 0
    refused_by_reason: Counter[str] = field(default_factory=Counter)
    by_split: Counter[str] = field(default_factory=Counter)
    shown: int = 0
    tokens: int = 0
    vision_tokens: int = 0
    repeats: tuple[int, int] = (0, 0)
    groups: int = 0


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """What an epoch costs.

    Attributes:
        tokens: with each prompt once a Comparison, or once a group, as packed rows compute it.
        vision_tokens: those of them that stand for images and videos.
        tokens_apart: what it would be with one row a response.
        images: image spans that are computed.
        videos: video spans likewise.
        pairs: ordered pairs of responses with different ranks.
        cut_prompts: kept Comparisons of both splits that lost their oldest turns.
        dropped_turns: turns they lost together.
    """

    tokens: int
    vision_tokens: int
    tokens_apart: int
    images: int
    videos: int
    pairs: int
    cut_prompts: int
    dropped_turns: int


@dataclass(frozen=True, kw_only=True)
class Check:
    """Two ways to the same number."""

    what: str
    stated: int
    found: int

    @property
    def holds(self) -> bool:
        return self.stated == self.found


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """A folder in numbers."""

    total: SourceSummary
    by_source: dict[str, SourceSummary]
    checks: tuple[Check, ...]
    distributions: tuple[Distribution, ...]
    budgets: Budgets


def summarise(manifest: Manifest, rows: pa.Table, refused: Refused, groups: pa.Table | None = None) -> DataSummary:
    """Count and measure.

    Args:
        manifest: what the folder says of itself.
        rows: every Comparison made, kept or not, in `ROWS_SCHEMA`.
        refused: the folder's quarantine.
        groups: where Comparisons are grouped, in `GROUPS_SCHEMA`.
    """
    kept = rows.filter(pc.equal(rows["mark"], ""))
    sizes = _Sizes(kept)
    work = sizes if groups is None else _Work(groups)
    names = list(manifest.counts.by_source)
    names += sorted({*kept["source"].unique().to_pylist(), *(source for source, _ in refused.counts)} - set(names))
    by_source = {name: _of_source(name, sizes, work, refused) for name in names}
    total = _of_all(sizes, work, refused)
    if groups is not None:
        total.groups = len(groups)
        for name, one in by_source.items():
            one.groups = int((work.sources == name).sum())
    return DataSummary(
        total=total,
        by_source=by_source,
        checks=(
            *_checks(manifest, rows, refused, total, by_source),
            *([] if groups is None else _group_checks(manifest, groups, total, by_source)),
        ),
        distributions=tuple(_distributions(sizes, manifest.config)),
        budgets=_budgets(sizes, work),
    )


class _Work:
    """What is computed of a table of kept rows or of groups as columns of numbers: [N] each, all int64."""

    def __init__(self, kept: pa.Table) -> None:
        self.num_rows = len(kept)
        self.sources = kept["source"].to_numpy(zero_copy_only=False)
        self.splits = kept["split"].to_numpy(zero_copy_only=False)
        self.prefix = _ints(kept["prefix_length"])
        self.responses = _ints(pc.list_flatten(kept["response_lengths"]))
        self.row_of_response = _ints(pc.list_parent_indices(kept["response_lengths"]))
        self.num_responses = _ints(pc.list_value_length(kept["response_lengths"]))
        self.response_tokens = np.zeros(self.num_rows, dtype=np.int64)
        np.add.at(self.response_tokens, self.row_of_response, self.responses)
        self.videos = np.zeros(self.num_rows, dtype=np.int64)
        is_video = _ints(pc.list_flatten(kept["span_frames"])) > 0
        np.add.at(self.videos, _ints(pc.list_parent_indices(kept["span_frames"])), is_video)
        self.images = _ints(pc.list_value_length(kept["span_frames"])) - self.videos
        self.vision = np.zeros(self.num_rows, dtype=np.int64)
        patches = _ints(pc.list_flatten(kept["image_patches"]))
        np.add.at(self.vision, _ints(pc.list_parent_indices(kept["image_patches"])), patches // PATCHES_A_TOKEN)
        repeats = _ints(kept["repeats"])
        self.shown = np.where(self.splits == "train", repeats, 0)
        """Times an epoch shows it; held-out ones are never shown."""

    @property
    def tokens(self) -> Numbers:
        return self.prefix + self.response_tokens


class _Sizes(_Work):
    """The kept rows, one a Comparison."""

    def __init__(self, kept: pa.Table) -> None:
        super().__init__(kept)
        self.longest = np.zeros(self.num_rows, dtype=np.int64)
        np.maximum.at(self.longest, self.row_of_response, self.responses)
        self.ties = self._tied_pairs(_ints(pc.list_flatten(kept["ranks"])))
        self.dropped_turns = _ints(kept["dropped_turns"])

    def _tied_pairs(self, ranks: Numbers) -> Numbers:
        """Pairs of responses with equal ranks, of each Comparison."""
        pairs = np.zeros(self.num_rows, dtype=np.int64)
        if len(ranks):
            base = int(ranks.max()) + 1
            places, counts = np.unique(self.row_of_response * base + ranks, return_counts=True)
            np.add.at(pairs, places // base, counts * (counts - 1) // 2)
        return pairs


def _of_source(name: str, sizes: _Sizes, work: _Work, refused: Refused) -> SourceSummary:
    mine, computed = sizes.sources == name, work.sources == name
    reasons = Counter({reason: count for (source, reason), count in refused.counts.items() if source == name})
    shown = sizes.shown[mine]
    of_train = shown[sizes.splits[mine] == "train"]
    kept = int(mine.sum())
    return SourceSummary(
        seen=kept + reasons.total(),
        kept=kept,
        refused=reasons.total(),
        refused_by_reason=reasons,
        by_split=Counter(sizes.splits[mine].tolist()),
        shown=int(shown.sum()),
        tokens=int((work.shown * work.tokens)[computed].sum()),
        vision_tokens=int((work.shown * work.vision)[computed].sum()),
        repeats=(int(of_train.min()), int(of_train.max())) if len(of_train) else (0, 0),
    )


def _of_all(sizes: _Sizes, work: _Work, refused: Refused) -> SourceSummary:
    """Not the sum of the sources: counted on its own, so that comparing the two finds mistakes."""
    of_train = sizes.shown[sizes.splits == "train"]
    return SourceSummary(
        seen=sizes.num_rows + refused.counts.total(),
        kept=sizes.num_rows,
        refused=refused.counts.total(),
        refused_by_reason=refused.by_reason,
        by_split=Counter(sizes.splits.tolist()),
        shown=int(sizes.shown.sum()),
        tokens=int((work.shown * work.tokens).sum()),
        vision_tokens=int((work.shown * work.vision).sum()),
        repeats=(int(of_train.min()), int(of_train.max())) if len(of_train) else (0, 0),
    )


def _checks(
    manifest: Manifest, rows: pa.Table, refused: Refused, total: SourceSummary, by_source: dict[str, SourceSummary]
) -> list[Check]:
    """The manifest's counts against rows and quarantine, and the totals against the sums over sources."""
    counts = manifest.counts
    checks = [
        Check(what="seen = kept + refused, as stated", stated=counts.seen, found=counts.kept + counts.refused),
        Check(what="kept, in the rows", stated=counts.kept, found=total.kept),
        Check(what="refused, in the quarantine", stated=counts.refused, found=total.refused),
    ]
    for part in ("seen", "kept", "refused", "shown", "tokens"):
        over_sources = sum(getattr(one, part) for one in by_source.values())
        checks.append(Check(what=f"{part}, summed over sources", stated=getattr(total, part), found=over_sources))
    for name, found in by_source.items():
        stated = counts.by_source.get(name)
        for part in ("seen", "kept", "refused", "shown"):
            said = getattr(stated, part) if stated else 0
            checks.append(Check(what=f"{part} of {name}", stated=said, found=getattr(found, part)))
    for reason in sorted({*counts.refused_by_reason, *total.refused_by_reason}):
        said = counts.refused_by_reason.get(reason, 0)
        checks.append(Check(what=f"refused as {reason}", stated=said, found=total.refused_by_reason[reason]))
    for split in sorted({*counts.by_split, *total.by_split}):
        checks.append(
            Check(what=f"kept for {split}", stated=counts.by_split.get(split, 0), found=total.by_split[split])
        )
    for reason, filtered in _filtered(rows).items():
        listed = min(filtered, refused.by_reason[reason])
        checks.append(Check(what=f"filtered as {reason}, in the quarantine", stated=filtered, found=listed))
    return checks


def _group_checks(
    manifest: Manifest, groups: pa.Table, total: SourceSummary, by_source: dict[str, SourceSummary]
) -> list[Check]:
    """The records of the groups against the kept Comparisons, and the groups against the manifest's counts."""
    records = _ints(pc.list_value_length(groups["records"]))
    shown = np.where(groups["split"].to_numpy(zero_copy_only=False) == "train", _ints(groups["repeats"]), 0)
    checks = [
        Check(what="kept, in groups of one prompt", stated=total.kept, found=int(records.sum())),
        Check(what="shown, in groups of one prompt", stated=total.shown, found=int((records * shown).sum())),
    ]
    for name, found in by_source.items():
        stated = manifest.counts.by_source.get(name)
        checks.append(Check(what=f"groups of {name}", stated=stated.groups if stated else 0, found=found.groups))
    return checks


def _filtered(rows: pa.Table) -> dict[str, int]:
    found = rows["mark"].value_counts()
    return {one["values"]: one["counts"] for one in found.to_pylist() if one["values"]}


def _distributions(sizes: _Sizes, config: dict[str, Any]) -> list[Distribution]:
    max_tokens = config.get("rules", {}).get("max_tokens")
    seeing = sizes.vision > 0
    rows = sizes.prefix + sizes.longest
    both, each = "Comparisons", "responses"
    found = [
        distribution(rows, name="Prompt and longest response", unit="tokens", of=both, limit=max_tokens),
        distribution(sizes.prefix, name="Prompts", unit="tokens", of=both),
        distribution(sizes.responses, name="Responses", unit="tokens", of=each),
        distribution(sizes.num_responses, name="Responses to a prompt (K)", unit="responses", of=both),
        distribution(sizes.ties, name="Ties", unit="tied pairs", of=both),
        distribution(sizes.images, name="Images", unit="images", of=both),
    ]
    if sizes.videos.any():
        found.append(distribution(sizes.videos, name="Videos", unit="videos", of=both))
    if seeing.any():
        of = "Comparisons with images or videos" if sizes.videos.any() else "Comparisons with images"
        found.append(distribution(sizes.vision[seeing], name="Vision tokens", unit="tokens", of=of))
    return found


def _budgets(sizes: _Sizes, work: _Work) -> Budgets:
    apart = sizes.num_responses * sizes.prefix + sizes.response_tokens
    pairs = sizes.num_responses * (sizes.num_responses - 1) // 2 - sizes.ties
    return Budgets(
        tokens=int((work.shown * work.tokens).sum()),
        vision_tokens=int((work.shown * work.vision).sum()),
        tokens_apart=int((sizes.shown * apart).sum()),
        images=int((work.shown * work.images).sum()),
        videos=int((work.shown * work.videos).sum()),
        pairs=int((sizes.shown * pairs).sum()),
        cut_prompts=int((sizes.dropped_turns > 0).sum()),
        dropped_turns=int(sizes.dropped_turns.sum()),
    )


def _ints(column: pa.ChunkedArray | pa.Array) -> Numbers:
    found: Numbers = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return found.astype(np.int64)
