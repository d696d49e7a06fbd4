"""What the page about prepared data shows, as cards, bars and rows of tables."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.inspection.histogram import Distribution
from data_pipeline.inspection.quarantine import meaning_of
from data_pipeline.inspection.summary import DataSummary, SourceSummary
from jobs.pages.formats import Card, Row, compact, number, share
from jobs.pages.plots import style
from jobs.pages.plots.data import Bar

__all__ = [
    "ReasonView",
    "budget_rows",
    "config_text",
    "count_bars",
    "count_rows",
    "distribution_note",
    "lineage_facts",
    "mixture_rows",
    "reason_rows",
    "summary_cards",
    "token_bars",
    "unread_rows",
]


_SPLITS = ("train", "heldout")
_MAX_CONFIG_CHARS = 60_000


@dataclass(frozen=True, kw_only=True)
class ReasonView:
    """One reason of refusal."""

    reason: str
    items: int
    share: str
    """Of all items seen."""
    sources: str
    """With their items."""
    meaning: str


def summary_cards(summary: DataSummary) -> list[Card]:
    """The headline numbers, and whether the counts add up."""
    total, budgets = summary.total, summary.budgets
    train, heldout = (total.by_split[split] for split in _SPLITS)
    saved = budgets.tokens_apart - budgets.tokens
    num_failed, num_checks = sum(not check.holds for check in summary.checks), len(summary.checks)
    seen = f"{budgets.images:,} images" + (f" and {budgets.videos:,} videos" if budgets.videos else "")
    saved_tokens = f"{compact(saved)} tokens an epoch"
    values = {
        "Comparisons kept": (f"{total.kept:,}", f"of {total.seen:,} seen", "first"),
        "Refused": (f"{total.refused:,}", f"{share(total.refused, total.seen)} of all seen", ""),
        "For training": (f"{train:,}", f"{heldout:,} held out ({share(heldout, total.kept)})", ""),
        "An epoch shows": (f"{total.shown:,}", f"{budgets.pairs:,} ordered pairs", ""),
        "Tokens an epoch": (compact(budgets.tokens), f"{budgets.tokens // max(1, total.shown):,} a Comparison", ""),
        "Vision tokens": (share(budgets.vision_tokens, budgets.tokens), f"{seen} an epoch", ""),
        "Saved by shared prompts": (share(saved, budgets.tokens_apart), saved_tokens, ""),
        "Counts add up": ("no", f"{num_failed} of {num_checks} checks fail", "bad")
        if num_failed
        else ("yes", f"{num_checks} checks hold", "good"),
    }
    if total.groups:
        note = f"of {total.kept:,} Comparisons; a training sees these"
        values["Groups of one prompt"] = (f"{total.groups:,}", note, "")
    return [Card(name=name, value=value, note=note, style=look) for name, (value, note, look) in values.items()]


def count_bars(summary: DataSummary) -> dict[str, list[Bar]]:
    """Train, held out and refused of every source."""
    return {
        name: [
            (style.MARK, "train", one.by_split["train"]),
            (style.HELD_OUT, "held out", one.by_split["heldout"]),
            (style.OTHER, "refused", one.refused),
        ]
        for name, one in summary.by_source.items()
    }


def count_rows(summary: DataSummary) -> list[Row]:
    """Items of every source: seen, kept, train, held out, refused, refused share."""
    return _rows(summary, lambda one: [f"{value:,}" for value in _counts(one)] + [share(one.refused, one.seen)])


def _counts(one: SourceSummary) -> list[int]:
    return [one.seen, one.kept, *(one.by_split[split] for split in _SPLITS), one.refused]


def reason_rows(summary: DataSummary) -> list[ReasonView]:
    """Each reason of refusal with its items, sources and meaning."""
    rows = []
    for reason, count in summary.total.refused_by_reason.most_common():
        counts = {name: one.refused_by_reason[reason] for name, one in summary.by_source.items()}
        sources = ", ".join(f"{name} {found:,}" for name, found in counts.items() if found)
        of_all = share(count, summary.total.seen)
        rows.append(ReasonView(reason=reason, items=count, share=of_all, sources=sources, meaning=meaning_of(reason)))
    return rows


def unread_rows(manifest: Manifest) -> list[Row]:
    """Each field that was not read, with its source and how many records have it."""
    return [
        Row(name=field, cells=[name, f"{count:,}"])
        for name, source in manifest.counts.by_source.items()
        for field, count in source.unread.items()
    ]


def mixture_rows(summary: DataSummary) -> list[Row]:
    """What an epoch shows of every source."""
    total = summary.total

    def cells(one: SourceSummary) -> list[str]:
        least, most = one.repeats
        repeats = f"{least:,} x" if least == most else f"{least:,} to {most:,} x"
        return [
            f"{one.by_split['train']:,}",
            f"{one.shown:,}",
            repeats if one.by_split["train"] else "–",
            share(one.shown, total.shown),
            f"{one.tokens:,}",
            share(one.tokens, total.tokens),
            share(one.vision_tokens, one.tokens),
        ]

    return _rows(summary, cells)


def _rows(summary: DataSummary, cells: Callable[[SourceSummary], list[str]]) -> list[Row]:
    """A row a source and a last one for all."""
    rows = [Row(name=name, cells=cells(one)) for name, one in summary.by_source.items()]
    return [*rows, Row(name="all", cells=cells(summary.total), style="total")]


def lineage_facts(manifest: Manifest) -> Mapping[str, str]:
    """Address, hashes and program."""
    shards = manifest.shards
    num_rows, num_images = sum(one.num_rows for one in shards), sum(one.num_images for one in shards)
    return {
        "address": manifest.address,
        "fingerprint (sha256 of the manifest)": manifest.fingerprint,
        "tokenizer (sha256)": manifest.tokenizer,
        "written by": f"basereward {manifest.code}, schema version {manifest.schema_version}",
        "shards": f"{len(shards):,}, {num_rows:,} Comparisons and {num_images:,} images",
    }


def config_text(manifest: Manifest) -> str:
    """The configuration as JSON; cut where it is very long."""
    config = json.dumps(manifest.config, indent=2, ensure_ascii=False)
    if len(config) > _MAX_CONFIG_CHARS:
        return f"{config[:_MAX_CONFIG_CHARS]}\n… the rest is in the manifest"
    return config


def token_bars(summary: DataSummary) -> dict[str, list[Bar]]:
    """Tokens of an epoch with shared prompts, and with one row a response."""
    budgets = summary.budgets
    text = budgets.tokens - budgets.vision_tokens
    return {
        "each prompt once": [(style.MARK, "text", text), (style.OTHER, "images", budgets.vision_tokens)],
        "one row a response": [(style.HELD_OUT, "all", budgets.tokens_apart)],
    }


def budget_rows(summary: DataSummary) -> list[Row]:
    """The same as numbers."""
    budgets, of = summary.budgets, "group" if summary.total.groups else "Comparison"
    values = {
        f"each prompt once a {of}, as packed rows do": budgets.tokens,
        "of these, image tokens": budgets.vision_tokens,
        "one row a response, each with its own prompt": budgets.tokens_apart,
    }
    first = "100.0 %"
    return [
        Row(name=name, cells=(f"{value:,}", share(value, budgets.tokens) if index else first))
        for index, (name, value) in enumerate(values.items())
    ]


def distribution_note(one: Distribution) -> str:
    """The numbers a person asks for first."""
    if not one.count:
        return f"no {one.of}"
    largest = "longest" if one.unit == "tokens" else "most"
    note = f"median {number(one.median)}, mean {number(round(one.mean, 2))}, 95 % up to {number(one.p95)}"
    note += f", {largest} {one.most:,} {one.unit}"
    if one.histogram.above:
        note += f"; {one.histogram.above:,} beyond the axis"
    if one.limit is not None:
        note += f"; limit {one.limit:,}"
    return note
