"""Prepared data as one HTML page that needs no other file and no network."""

from collections.abc import Sequence
from html import escape

from data_pipeline import storage
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RecipeError
from data_pipeline.inspection.histogram import Distribution
from data_pipeline.inspection.places import Place, read_place
from data_pipeline.inspection.quarantine import Refused
from data_pipeline.inspection.samples import MAX_SAMPLES, Sample, choose, read_samples
from data_pipeline.inspection.summary import DataSummary, summarise
from jobs.pages.data_charts import histogram_bars, stacked_bars
from jobs.pages.data_samples import samples_section
from jobs.pages.data_style import STYLE
from jobs.pages.data_tables import (
    benchmarks_section,
    counts_section,
    lineage_section,
    mixture_section,
    reasons_section,
    refused_section,
    share,
    short,
    table,
    table_row,
)
from jobs.pages.shell import card, figure, page
from jobs.pages.svg import number

__all__ = ["DATA_PAGE", "page_of", "render_page", "write_data_page"]

DATA_PAGE = "data.html"
NUM_SAMPLES = 24
_NAVIGATION = (
    '<nav><a href="#counts">Counts</a><a href="#mixture">Mixture</a><a href="#sizes">Sizes</a>'
    '<a href="#samples">Samples</a><a href="#refused">Refused</a><a href="#lineage">Lineage</a></nav>'
)


def write_data_page(folder: str, *, output: str | None = None, samples: int = NUM_SAMPLES, seed: int = 0) -> str:
    """Write the page of prepared data and return its path.

    Args:
        folder: the output folder of preprocessing, or one of its manifests.
        output: where the page goes; unset: ``data.html`` in the folder.
        samples: Comparisons to show, 0 to 200.
        seed: another seed shows others.

    Raises:
        UserError: there is no finished data, it is of a newer program, or `samples` is out of range.
        CorruptData: a file is not the one that was written.
    """
    place = read_place(folder)
    url = output if output is not None else storage.join(place.folder, DATA_PAGE)
    storage.write_atomic(url, render_page(place, samples=samples, seed=seed).encode())
    return url


def page_of(folder: str) -> str:
    """The page that preprocessing left in `folder`; rendered anew where there is none, or that of another manifest.

    Raises:
        UserError: there is no finished data, or it is of a newer program.
        CorruptData: a file is not the one that was written.
    """
    place = read_place(folder)
    url = storage.join(place.folder, DATA_PAGE)
    if storage.exists(url):
        html = storage.read_bytes(url).decode()
        if _fingerprint_mark(place.manifest) in html:
            return html
    return render_page(place)


def render_page(place: Place, *, samples: int = NUM_SAMPLES, seed: int = 0) -> str:
    """The page as text; arguments as for `write_data_page`."""
    if not 0 <= samples <= MAX_SAMPLES:
        raise RecipeError(f"samples={samples} must be from 0 to {MAX_SAMPLES}")
    data, refused = place.prepared(), place.refused()
    summary = summarise(place.manifest, data.all_rows, refused)
    return render(
        place.manifest,
        summary,
        refused,
        read_samples(data, choose(data.rows, samples, seed)),
        title="/".join([name for name in place.folder.rpartition("://")[2].split("/") if name][-2:]),
    )


def render(manifest: Manifest, summary: DataSummary, refused: Refused, samples: Sequence[Sample], *, title: str) -> str:
    """All parts in one document; pure."""
    sources = len(summary.by_source)
    lead = (
        f"{summary.total.kept:,} Comparisons of {sources} {'source' if sources == 1 else 'sources'}, prepared by "
        f"basereward {escape(manifest.code)}. Manifest <code>{escape(manifest.address[:16])}</code>."
    )
    body = [
        f'<h1>Prepared data: {escape(title)}</h1>\n<p class="lead">{lead}</p>',
        _NAVIGATION,
        _cards(summary),
        counts_section(summary),
        reasons_section(summary),
        benchmarks_section(manifest),
        mixture_section(summary),
        _sizes(summary),
        samples_section(samples, summary.total.kept),
        refused_section(refused),
        lineage_section(manifest),
        _fingerprint_mark(manifest),
    ]
    return page(f"Prepared data: {title}", "\n".join(part for part in body if part), style=STYLE)


def _fingerprint_mark(manifest: Manifest) -> str:
    return f"<!-- manifest {manifest.fingerprint} -->"


def _cards(summary: DataSummary) -> str:
    total, budgets = summary.total, summary.budgets
    train, heldout = (total.by_split[split] for split in ("train", "heldout"))
    saved = budgets.tokens_apart - budgets.tokens
    failed = [check for check in summary.checks if not check.holds]
    seen = f"{budgets.images:,} images"
    if budgets.videos:
        seen += f" and {budgets.videos:,} videos"
    cards = [
        card("Comparisons kept", f"{total.kept:,}", f"of {total.seen:,} seen", "first"),
        card("Refused", f"{total.refused:,}", f"{share(total.refused, total.seen)} of all seen"),
        card("For training", f"{train:,}", f"{heldout:,} held out ({share(heldout, total.kept)})"),
        card("An epoch shows", f"{total.shown:,}", f"{budgets.pairs:,} ordered pairs"),
        card("Tokens an epoch", short(budgets.tokens), f"{budgets.tokens // max(1, total.shown):,} a Comparison"),
        card("Vision tokens", share(budgets.vision_tokens, budgets.tokens), f"{seen} an epoch"),
        card("Saved by shared prompts", share(saved, budgets.tokens_apart), f"{short(saved)} tokens an epoch"),
        card("Counts add up", "no", f"{len(failed)} of {len(summary.checks)} checks fail", "bad")
        if failed
        else card("Counts add up", "yes", f"{len(summary.checks)} checks hold", "good"),
    ]
    return f'<div class="cards">\n{"".join(cards)}</div>'


def _sizes(summary: DataSummary) -> str:
    figures = "".join(figure(escape(one.name), _told(one), histogram_bars(one)) for one in summary.distributions)
    budgets = summary.budgets
    rows = [
        table_row("each prompt once a Comparison, as packed rows do", [f"{budgets.tokens:,}", "100.0 %"]),
        table_row(
            "of these, image tokens", [f"{budgets.vision_tokens:,}", share(budgets.vision_tokens, budgets.tokens)]
        ),
        table_row(
            "one row a response, each with its own prompt",
            [f"{budgets.tokens_apart:,}", share(budgets.tokens_apart, budgets.tokens)],
        ),
    ]
    cut = (
        f"{budgets.cut_prompts:,} kept Comparisons lost {budgets.dropped_turns:,} oldest turns to fit the token limit."
        if budgets.cut_prompts
        else "No kept Comparison lost a turn to fit the token limit."
    )
    cut += ' &ensp; <i class="key train"></i>text &ensp; <i class="key refused"></i>images'
    text = budgets.tokens - budgets.vision_tokens
    parts = [("train", "text", text), ("refused", "images", budgets.vision_tokens)]
    bars = stacked_bars(
        "Tokens of an epoch",
        [("each prompt once", parts), ("one row a response", [("held", "all", budgets.tokens_apart)])],
        width=760,
        label=150,
    )
    style = "budget alone" if len(summary.distributions) % 3 == 0 else "budget"
    return (
        f'<div class="figures small" id="sizes">\n{figures}'
        f'<section class="{style}"><h2>Tokens of an epoch</h2><p class="note">{cut}</p>{bars}'
        f"{table(('', 'tokens', 'share'), rows)}</section></div>"
    )


def _told(one: Distribution) -> str:
    if not one.count:
        return f"no {escape(one.of)}"
    largest = "longest" if one.unit == "tokens" else "most"
    told = f"median {number(one.median)}, mean {number(round(one.mean, 2))}, 95 % up to {number(one.p95)}"
    told += f", {largest} {one.most:,} {one.unit}"
    if one.histogram.above:
        told += f"; {one.histogram.above:,} beyond the axis"
    if one.limit is not None:
        told += f"; limit {one.limit:,}"
    return escape(told)
