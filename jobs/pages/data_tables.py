"""The parts of the page about prepared data that are tables: counts, reasons, mixture, refused items, lineage."""

import json
from collections.abc import Sequence
from html import escape

from data_pipeline.dataset.manifest import InputFile, Manifest
from data_pipeline.inspection.quarantine import Refused, RefusedItem
from data_pipeline.inspection.reasons import meaning_of
from data_pipeline.inspection.summary import DataSummary, SourceSummary
from jobs.pages.data_charts import stacked_bars
from jobs.pages.svg import percent

__all__ = [
    "benchmarks_section",
    "counts_section",
    "lineage_section",
    "mixture_section",
    "reasons_section",
    "refused_section",
    "share",
    "short",
    "table",
    "table_row",
]

_MAX_INPUTS = 200
_MAX_CONFIG_CHARS = 60_000
_MAX_CELL_CHARS = 300
_SPLITS = ("train", "heldout")


def counts_section(summary: DataSummary) -> str:
    """Items of every source: seen, kept, refused; and which numbers do not agree, if any."""
    bars = [(name, _parts(one)) for name, one in summary.by_source.items()]
    head = ("source", "seen", "kept", "train", "held out", "refused", "refused share")
    rows = [_count_row(name, one) for name, one in summary.by_source.items()]
    rows.append(_count_row("all", summary.total, "total"))
    note = (
        '<i class="key train"></i>train &ensp; <i class="key held"></i>held out &ensp; '
        '<i class="key refused"></i>refused &ensp; '
        "An item is a Comparison made, or a record that gave none. The last row is counted on its own."
    )
    failed = "".join(
        f"<li>{escape(check.what)}: stated {check.stated:,}, found {check.found:,}</li>"
        for check in summary.checks
        if not check.holds
    )
    warning = f'<div class="bad"><p>These numbers do not agree:</p><ul>{failed}</ul></div>' if failed else ""
    return (
        f'<section class="wide" id="counts"><h2>Where every record went</h2><p class="note">{note}</p>'
        f"{warning}{stacked_bars('Items by source', bars)}{table(head, rows)}</section>"
    )


def _parts(one: SourceSummary) -> list[tuple[str, str, int]]:
    train, heldout = (one.by_split[split] for split in _SPLITS)
    return [("train", "train", train), ("held", "held out", heldout), ("refused", "refused", one.refused)]


def _count_row(name: str, one: SourceSummary, style: str = "") -> str:
    cells = [f"{value:,}" for value in (one.seen, one.kept, *(one.by_split[split] for split in _SPLITS), one.refused)]
    return table_row(name, [*cells, share(one.refused, one.seen)], style)


def reasons_section(summary: DataSummary) -> str:
    """Each reason of refusal with its items, sources and meaning."""
    total = summary.total.refused_by_reason
    if not total:
        return ""
    rows = []
    for reason, count in total.most_common():
        counts = {name: one.refused_by_reason[reason] for name, one in summary.by_source.items()}
        of = ", ".join(f"{name} {found:,}" for name, found in counts.items() if found)
        cells = f"<td>{count:,}</td><td>{share(count, summary.total.seen)}</td>"
        cells += f'<td class="text">{escape(of)}</td><td class="text">{escape(meaning_of(reason))}</td>'
        rows.append(f'<tr><th scope="row"><code>{escape(reason)}</code></th>{cells}</tr>\n')
    rows.append(
        f'<tr class="total"><th scope="row">all</th><td>{total.total():,}</td>'
        f"<td>{share(total.total(), summary.total.seen)}</td><td></td><td></td></tr>\n"
    )
    head = ("reason", "items", "of all seen", '<span class="left">sources</span>', '<span class="left">meaning</span>')
    return f'<section class="wide reasons"><h2>Why items were refused</h2>{table(head, rows)}</section>'


def benchmarks_section(manifest: Manifest) -> str:
    """What every benchmark gave to compare with, and what was removed for it; nothing where there is none."""
    if not manifest.counts.benchmarks:
        return ""
    head = ("benchmark", "items read", "images", "records not read", "Comparisons refused for it")
    rows = [
        table_row(name, [f"{part:,}" for part in (one.items, one.images, one.refused, one.overlaps)])
        for name, one in manifest.counts.benchmarks.items()
    ]
    note = (
        "Prompts and images of these benchmarks must not be trained on; an item without its image counts by its text."
    )
    return f'<section class="wide"><h2>Decontamination</h2><p class="note">{note}</p>{table(head, rows)}</section>'


def mixture_section(summary: DataSummary) -> str:
    """What an epoch shows of every source."""
    total = summary.total
    head = (
        "source",
        "training Comparisons",
        "an epoch shows",
        "each one",
        "share of the epoch",
        "tokens an epoch",
        "share of tokens",
        "vision tokens",
    )
    rows = [_mixture_row(name, one, total) for name, one in summary.by_source.items()]
    rows.append(_mixture_row("all", total, total, "total"))
    note = "One epoch of training: every source with its repeats. Held-out Comparisons are never shown."
    return (
        f'<section class="wide" id="mixture"><h2>What an epoch shows</h2><p class="note">{note}</p>'
        f"{table(head, rows)}</section>"
    )


def _mixture_row(name: str, one: SourceSummary, total: SourceSummary, style: str = "") -> str:
    least, most = one.repeats
    each = f"{least:,} x" if least == most else f"{least:,} to {most:,} x"
    cells = [
        f"{one.by_split['train']:,}",
        f"{one.shown:,}",
        each if one.by_split["train"] else "–",
        share(one.shown, total.shown),
        f"{one.tokens:,}",
        share(one.tokens, total.tokens),
        share(one.vision_tokens, one.tokens),
    ]
    return table_row(name, cells, style)


def refused_section(refused: Refused) -> str:
    """The first refused items of every reason."""
    if not refused.examples:
        return '<section class="wide" id="refused"><h2>Refused items</h2><p class="note">None.</p></section>'
    parts = []
    for reason, count in refused.by_reason.most_common():
        items = refused.examples[reason]
        rows = [_refused_row(item) for item in items]
        parts.append(
            f'<tr class="block"><th colspan="5" scope="rowgroup"><code>{escape(reason)}</code> '
            f"{len(items):,} of {count:,}</th></tr>\n{''.join(rows)}"
        )
    head = ("source", '<span class="left">file</span>', "row", '<span class="left">id</span>',
            '<span class="left">what was wrong</span>')  # fmt: skip
    note = "The first items of every reason; all of them are in the quarantine file beside the manifest."
    return (
        f'<section class="wide reasons" id="refused"><h2>Refused items</h2><p class="note">{note}</p>'
        f"{table(head, parts)}</section>"
    )


def lineage_section(manifest: Manifest) -> str:
    """Address, hashes, input files and configuration."""
    facts = {
        "address": manifest.address,
        "fingerprint (sha256 of the manifest)": manifest.fingerprint,
        "tokenizer (sha256)": manifest.tokenizer,
        "written by": f"basereward {manifest.code}, schema version {manifest.schema_version}",
        "shards": f"{len(manifest.shards):,}, {sum(one.num_rows for one in manifest.shards):,} Comparisons and "
        f"{sum(one.num_images for one in manifest.shards):,} images",
    }
    fact_rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>\n' for name, value in facts.items()
    )
    shown = manifest.inputs[:_MAX_INPUTS]
    rows = [_input_row(one) for one in shown]
    left = len(manifest.inputs) - len(shown)
    more = f'<p class="note">and {left:,} more files, all listed in the manifest</p>' if left else ""
    config = json.dumps(manifest.config, indent=2, ensure_ascii=False)
    if len(config) > _MAX_CONFIG_CHARS:
        config = f"{config[:_MAX_CONFIG_CHARS]}\n… the rest is in the manifest"
    head = ("source", '<span class="left">input file</span>', "rows", "bytes", "sha256")
    return (
        f'<section class="wide facts" id="lineage"><h2>What it was made of</h2><table><tbody>\n{fact_rows}'
        f'</tbody></table></section><section class="wide reasons"><h2>Input files</h2>{table(head, rows)}{more}'
        f"<details><summary>The configuration</summary><pre>{escape(config)}</pre></details></section>"
    )


def table(head: Sequence[str], rows: Sequence[str]) -> str:
    """A table; `head` and `rows` are HTML."""
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody></table></div>'
    )


def table_row(name: str, cells: Sequence[str], style: str = "") -> str:
    """One row of a table; `name` is text, `cells` are HTML."""
    mark = f' class="{style}"' if style else ""
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{mark}><th scope="row">{escape(name)}</th>{inner}</tr>\n'


def _refused_row(item: RefusedItem) -> str:
    texts = "".join(f'<td class="text">{_cell(text)}</td>' for text in (item.id, item.detail))
    return (
        f'<tr><th scope="row">{_cell(item.source)}</th><td class="text">{_cell(item.path)}</td>'
        f"<td>{item.row:,}</td>{texts}</tr>\n"
    )


def _input_row(one: InputFile) -> str:
    sha256 = f'<code title="{escape(one.sha256)}">{escape(one.sha256[:12])}</code>'
    return (
        f'<tr><th scope="row">{_cell(one.source)}</th><td class="text">{_cell(one.path)}</td>'
        f"<td>{one.rows:,}</td><td>{_bytes(one.bytes)}</td><td>{sha256}</td></tr>\n"
    )


def _cell(text: str) -> str:
    return escape(text if len(text) <= _MAX_CELL_CHARS else f"{text[:_MAX_CELL_CHARS]}…")


def share(part: int, whole: int) -> str:
    """`part` of `whole` in percent."""
    return percent(part / whole) if whole else "–"


def short(count: int) -> str:
    """1234567 -> "1.23 M"."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size * 10 or (count >= size and unit != "k"):
            return f"{count / size:.3g} {unit}"
    return f"{count:,}"


def _bytes(count: int) -> str:
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:,} B"
