"""Prepared data as one HTML page that needs no other file and no network."""

from collections.abc import Sequence

from data_pipeline import storage
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RecipeError
from data_pipeline.inspection.places import Place, read_place
from data_pipeline.inspection.quarantine import Refused
from data_pipeline.inspection.samples import MAX_SAMPLES, Sample, choose, read_samples
from data_pipeline.inspection.summary import DataSummary, summarise
from jobs.pages import data_views as views
from jobs.pages.environment import render
from jobs.pages.plots.data import histogram_bars, stacked_bars
from jobs.pages.sample_views import sample_view

__all__ = ["DATA_PAGE", "complete_data_page", "page_of", "render_page", "write_data_page"]

DATA_PAGE = "data.html"
NUM_SAMPLES = 24
_MAX_INPUTS = 200


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


def complete_data_page(folder: str) -> str | None:
    """Write the page that a run which was killed before it could not; None where it is there.

    Raises:
        as `write_data_page`.
    """
    place = read_place(folder)
    return None if _written_page(place) is not None else write_data_page(folder)


def page_of(folder: str) -> str:
    """The page that preprocessing left in `folder`; rendered anew where there is none, or that of another manifest.

    Raises:
        UserError: there is no finished data, or it is of a newer program.
        CorruptData: a file is not the one that was written.
    """
    place = read_place(folder)
    return _written_page(place) or render_page(place)


def _written_page(place: Place) -> str | None:
    """The page in the folder; None where there is none, or that of another manifest."""
    url = storage.join(place.folder, DATA_PAGE)
    html = storage.read_bytes(url).decode() if storage.exists(url) else ""
    return html if _page_mark(place.manifest) in html else None


def render_page(place: Place, *, samples: int = NUM_SAMPLES, seed: int = 0) -> str:
    """The page as text; arguments as for `write_data_page`."""
    if not 0 <= samples <= MAX_SAMPLES:
        raise RecipeError(f"samples={samples} must be from 0 to {MAX_SAMPLES}")
    data, refused = place.prepared(), place.refused()
    summary = summarise(place.manifest, data.all_rows, refused, data.groups)
    return _render(
        place.manifest,
        summary,
        refused,
        read_samples(data, choose(data.rows, samples, seed)),
        title="/".join([name for name in place.folder.rpartition("://")[2].split("/") if name][-2:]),
    )


def _render(
    manifest: Manifest, summary: DataSummary, refused: Refused, samples: Sequence[Sample], *, title: str
) -> str:
    """All parts in one document; pure."""
    return render(
        "data.html.j2",
        title=f"Prepared data: {title}",
        manifest=manifest,
        page_mark=_page_mark(manifest),
        summary=summary,
        cards=views.summary_cards(summary),
        count_bars=stacked_bars("Items by source", views.count_bars(summary)),
        count_rows=views.count_rows(summary),
        reasons=views.reason_rows(summary),
        unread=views.unread_rows(manifest),
        mixture_rows=views.mixture_rows(summary),
        distributions=[(one.name, views.distribution_note(one), histogram_bars(one)) for one in summary.distributions],
        token_bars=stacked_bars("Tokens of an epoch", views.token_bars(summary), width=760, left=150),
        budget_rows=views.budget_rows(summary),
        samples=[sample_view(one) for one in samples],
        refused=refused,
        facts=views.lineage_facts(manifest),
        inputs=manifest.inputs[:_MAX_INPUTS],
        config=views.config_text(manifest),
    )


def _page_mark(manifest: Manifest) -> str:
    """A comment of the page, by which `page_of` knows whose page it is."""
    return f"manifest {manifest.fingerprint}"
