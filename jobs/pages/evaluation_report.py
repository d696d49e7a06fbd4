"""An EvaluationReport as files: report.json for programs, report.html for people; both hold the same numbers."""

import json
from collections.abc import Mapping
from html import escape

from data_pipeline.storage import join, write_atomic
from jobs.pages import evaluation_plots as plots
from jobs.pages.shell import card, figure, page
from jobs.pages.svg import number, percent
from rm_core.evaluation.results import BlankImages, EvaluationReport, Group, Share

__all__ = ["render_html", "write_report"]

_GROUPS_NOTE = (
    '<i class="key"></i>model with interval &ensp; <i class="key ring"></i>longer response wins &ensp; dashed: chance'
)
_COLUMNS = (
    "",
    "comparisons",
    "pairs",
    "right",
    "accuracy",
    "interval",
    "tied rewards",
    "tied labels",
    "length only",
    "top-1",
    "mean margin",
)


def write_report(folder: str, report: EvaluationReport, *, title: str, facts: Mapping[str, str]) -> None:
    """Write ``report.json`` and ``report.html`` into `folder`, a local path or s3://, the JSON last.

    Args:
        folder: made where it is missing.
        report: what `evaluate` returned.
        title: the heading of the page.
        facts: what was evaluated and how (model, data, recipe), shown as a table in the given order.
    """
    document = {"title": title, "facts": dict(facts), **report.to_json()}
    write_atomic(join(folder, "report.html"), render_html(report, title=title, facts=facts).encode())
    write_atomic(
        join(folder, "report.json"),
        (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(),
    )


def render_html(report: EvaluationReport, *, title: str, facts: Mapping[str, str]) -> str:
    """The report as one HTML page that needs no other file and no network."""
    lead = (
        f"{report.num_comparisons:,} comparisons, {report.overall.accuracy.num_pairs:,} ordered pairs. "
        f"Intervals have {100 * report.confidence:g} % confidence."
    )
    body = [
        f'<h1>{escape(title)}</h1>\n<p class="lead">{lead}</p>',
        _cards(report),
        _figures(report),
        _table(report),
        _facts(facts),
        _meanings(report),
    ]
    return page(title, "\n".join(part for part in body if part))


def _cards(report: EvaluationReport) -> str:
    overall, blank = report.overall, report.blank_images
    image, text = report.by_modality.get("image"), report.by_modality.get("text")
    cards = [card("Held-out accuracy", percent(overall.accuracy.value), _interval(overall.accuracy), "first")]
    if blank is not None:
        cards.append(card("Image accuracy", percent(blank.real.value), _interval(blank.real)))
        cards.append(card("Blank images", percent(blank.blank.value), _interval(blank.blank)))
    elif image is not None:
        cards.append(card("Image accuracy", percent(image.accuracy.value), _interval(image.accuracy)))
    if image is not None and text is not None:
        cards.append(card("Text accuracy", percent(text.accuracy.value), _interval(text.accuracy)))
    cards.append(card("Length only", percent(overall.length_only.value), _interval(overall.length_only)))
    cards.append(card("Comparisons", f"{report.num_comparisons:,}", _unordered(report)))
    tied = f"{overall.accuracy.tied_rewards:,} with tied rewards"
    cards.append(card("Pairs", f"{overall.accuracy.num_pairs:,}", tied))
    return f'<div class="cards">\n{"".join(cards)}</div>'


def _figures(report: EvaluationReport) -> str:
    by_source = figure(
        "Accuracy by source",
        _GROUPS_NOTE,
        plots.accuracy_by_group([("all", report.overall), *report.by_source.items()]),
    )
    kinds = list(report.by_modality.items())
    kinds += [(f"{count} responses", group) for count, group in report.by_num_responses.items()]
    by_kind = figure("Accuracy by kind", _GROUPS_NOTE, plots.accuracy_by_group(kinds))
    stack = f'<div class="stack">{_look(report.blank_images)}{by_kind}</div>\n'
    return f'<div class="figures">\n{by_source}{stack}</div>\n<div class="figures small">\n{_planes(report)}</div>'


def _look(blank: BlankImages | None) -> str:
    """Real against blank images; nothing where no image was scored."""
    if blank is None:
        return ""
    low, high = blank.gain_interval.low, blank.gain_interval.high
    note = f"images are worth {100 * blank.gain:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}); dashed: chance"
    return figure("Does the model look?", note, plots.real_and_blank(blank))


def _planes(report: EvaluationReport) -> str:
    """The three figures with two axes."""
    tied = report.overall.accuracy.tied_rewards
    margins = (
        '<i class="key"></i>right &ensp; <i class="key other"></i>wrong &ensp; '
        f"mean {number(report.overall.mean_margin)}" + (f" &ensp; {tied:,} at exactly 0 (not right)" if tied else "")
    )
    return (
        figure("Margins", margins, plots.margin_bars(report.margins))
        + figure(
            "Reward against length",
            f"median and middle half; {_spearman(report)}",
            plots.reward_band(report.rewards_by_length),
        )
        + figure(
            "Calibration",
            f"dashed: perfect; calibration error {percent(report.calibration_error)}",
            plots.calibration_curve(report.calibration),
        )
    )


def _table(report: EvaluationReport) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    rows = [_row("all", report.overall)]
    for name, groups in (
        ("by source", report.by_source),
        ("by number of responses", report.by_num_responses),
        ("by modality", report.by_modality),
    ):
        rows.append(f'<tr class="block"><th colspan="{len(_COLUMNS)}" scope="rowgroup">{name}</th></tr>\n')
        rows += [_row(group_name, group) for group_name, group in groups.items()]
    return (
        '<section class="wide"><h2>Everything</h2><div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody></table></div></section>"
    )


def _row(name: str, group: Group) -> str:
    accuracy = group.accuracy
    cells = (
        f"{accuracy.num_comparisons:,}",
        f"{accuracy.num_pairs:,}",
        f"{accuracy.right:,}",
        percent(accuracy.value),
        _interval(accuracy),
        f"{accuracy.tied_rewards:,}",
        f"{group.tied_labels:,}",
        percent(group.length_only.value),
        percent(group.top1.value),
        number(group.mean_margin),
    )
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>\n'


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>\n' for key, value in facts.items()
    )
    return f'<section class="wide facts"><h2>What was evaluated</h2><table><tbody>\n{rows}</tbody></table></section>'


def _meanings(report: EvaluationReport) -> str:
    return (
        '<section class="wide"><h2>What the numbers mean</h2><p class="note">A pair is right where the response with '
        "the better label has strictly the higher reward; equal rewards are not right. Pairs with equal labels are "
        "counted as tied labels and take part in no accuracy. Length only prefers the longer response, and equal "
        "lengths count half. Top-1 is the share of comparisons in which a best-labelled response has the highest "
        f"reward. Intervals come from {report.bootstrap_samples:,} bootstrap draws of whole comparisons "
        f"(seed {report.seed}), or from Wilson's formula for top-1 and where all comparisons agree.</p></section>"
    )


def _interval(share: Share) -> str:
    return f"{percent(share.interval.low)} to {percent(share.interval.high)}"


def _unordered(report: EvaluationReport) -> str:
    return f"{report.num_unordered:,} without order"


def _spearman(report: EvaluationReport) -> str:
    value = report.reward_length_spearman
    return "no rank correlation: one is constant" if value is None else f"rank correlation {value:+.2f}"
