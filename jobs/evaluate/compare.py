"""`basereward compare RUN RUN`: two evaluated models on the same Comparisons, with a verdict."""

import json as json_format
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.shown import one_line, printable_json
from data_pipeline.storage import exists, join, write_atomic
from jobs.pages.compare_page import over_length_rows, render_comparison, verdict
from jobs.pages.formats import signed_ends
from jobs.runtime.terminal import columns, say
from jobs.tracking.store import download, find_run
from rm_core.evaluation.matching import ItemDifference, largest_differences, match
from rm_core.evaluation.names import SUITE_NAMES
from rm_core.evaluation.paired import PairedComparison, PairedGroup, compare_paired
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import SCORED_FILE, read_scored

__all__ = ["run"]

_NAMES = ("", "Comparisons", "groups", "A", "B", "B - A", "interval", "p", "A better", "B better")
_LENGTH_NAMES = ("", "accuracy", "longer answer wins", "over that", "interval")
_SHOWN = 5


def run(
    a: str,
    b: str,
    *,
    recipe: str | None,
    tracking_uri: str | None,
    output: str,
    items: int,
    suite: str | None,
    confidence: int,
    json: bool,
    common: bool,
) -> int:
    """Compare and show; returns the exit code.

    Args:
        a, b: folders with ``scored.parquet``, or runs.
        recipe: whose MLflow store the runs are in.
        tracking_uri: that store itself, in place of a recipe.
        output: the page.
        items: Comparisons to list for each side.
        suite: a published benchmark, in place of the split.
        confidence: of the intervals, in percent.
        json: print JSON in place of tables, and write no page.
        common: compare what both scored, where one has more.

    Raises:
        UserError: a run is not there, or not the same Comparisons were scored.
        RunError: the store can't be reached.
    """
    uri = _store(recipe, tracking_uri)
    (name_a, scored_a), (name_b, scored_b) = _scored(a, uri, suite), _scored(b, uri, suite)
    matched = match(scored_a, scored_b)
    if not common or not matched.a:
        matched.check_same()
    found = compare_paired(matched.a, matched.b, confidence=confidence / 100)
    differences = largest_differences(matched.a, matched.b, items)
    only = (matched.only_a, matched.only_b)
    if json:
        text = json_format.dumps(_document(found, (name_a, name_b), differences, only), indent=2, ensure_ascii=False)
        print(printable_json(text))
        return 0
    html = render_comparison(found, a=name_a, b=name_b, differences=differences, only=only)
    write_atomic(output, html.encode())
    _show(found, (name_a, name_b), differences, only)
    say(f"wrote {output}: open it in a browser")
    return 0


def _store(recipe: str | None, tracking_uri: str | None) -> str | None:
    if recipe is not None and tracking_uri is not None:
        raise RecipeError("recipe=... and tracking.uri=... both name an MLflow store: give one of them")
    if recipe is None:
        return tracking_uri
    from jobs.recipe.load import load_recipe

    return load_recipe(recipe).tracking.uri


def _scored(place: str, uri: str | None, suite: str | None) -> tuple[str, list[ScoredComparison]]:
    """What to call it, and its rewards."""
    if suite is not None and suite not in SUITE_NAMES:
        raise RecipeError(f"suite={suite} is no published benchmark: there are {', '.join(SUITE_NAMES)}")
    file = SCORED_FILE if suite is None else f"suites/{suite}/{SCORED_FILE}"
    for url in (join(place, file), join(place, "evaluate", file)):
        if exists(url):
            return place, read_scored(url)
    if "://" in place or Path(place).exists():
        cure = "" if suite is None else f" with evaluate.suites=[{suite}]"
        raise MissingInput(f"{place!r} holds no {file}: `basereward evaluate`{cure} writes it beside its report")
    if uri is None:
        raise MissingInput(
            f"{place!r} is no folder with {SCORED_FILE}: if it is a run, say where MLflow keeps it, with recipe=demo "
            "or tracking.uri=http://..."
        )
    run_found = find_run(uri, place)
    with tempfile.TemporaryDirectory() as folder:
        return run_found.title, read_scored(download(uri, run_found, f"evaluation/{file}", folder))


def _show(
    found: PairedComparison,
    names: tuple[str, str],
    differences: tuple[Sequence[ItemDifference], Sequence[ItemDifference]],
    only: tuple[int, int],
) -> None:
    say(f"A: {one_line(names[0])}\nB: {one_line(names[1])}")
    if any(only):
        say(f"{only[0]:,} Comparisons of A alone and {only[1]:,} of B alone are left out")
    groups = [("all", found), *found.by_group.items()]
    columns("Pair accuracy on the same Comparisons", _NAMES, [_row(name, one) for name, one in groups], numbers=True)
    columns("Against the rule that the longer answer wins", _LENGTH_NAMES, over_length_rows(found), numbers=True)
    for title, some in zip(("A right, B wrong", "B right, A wrong"), differences, strict=True):
        if some:
            rows = [[one.source, one.id, f"{one.a_margin:+.2f}", f"{one.b_margin:+.2f}"] for one in some[:_SHOWN]]
            columns(title, ("source", "Comparison", "margin of A", "margin of B"), rows)
    for name, one in groups[1:]:
        if found.is_clear(one):
            say(f"{one_line(name)}: {verdict(found, one)}")
    say(f"\n{verdict(found)}")


def _row(name: str, one: PairedGroup) -> list[str]:
    return [
        name,
        f"{one.num_comparisons:,}",
        f"{one.num_groups:,}",
        f"{one.a_accuracy:.3f}",
        f"{one.b_accuracy:.3f}",
        f"{one.difference:+.3f}",
        signed_ends(one.interval),
        "< 0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}",
        f"{one.a_better:,}",
        f"{one.b_better:,}",
    ]


def _document(
    found: PairedComparison,
    names: tuple[str, str],
    differences: tuple[Sequence[ItemDifference], Sequence[ItemDifference]],
    only: tuple[int, int],
) -> dict[str, Any]:
    return {
        "a": names[0],
        "b": names[1],
        "verdict": verdict(found),
        "is_clear": found.is_clear(),
        "only_a": only[0],
        "only_b": only[1],
        **asdict(found),
        "a_right_b_wrong": [asdict(one) for one in differences[0]],
        "b_right_a_wrong": [asdict(one) for one in differences[1]],
    }
