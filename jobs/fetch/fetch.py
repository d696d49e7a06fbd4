"""`basereward fetch`: say what a recipe wants of the hub, and bring what is not there yet.

One process with a few threads does it: what has come of a file lies on one disk, where the next run goes on. A job of
a cluster (`basereward submit fetch`) is the same process on a node.
"""

from collections.abc import Sequence
from threading import Event

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecipeError, UserError
from data_pipeline.filtering.mixture import used_sources
from jobs.fetch.bring import bring_all
from jobs.fetch.hub import Hub
from jobs.fetch.record import Record
from jobs.fetch.state import State, state_of
from jobs.fetch.wanted import Repository, WantedSet, wanted_sets
from jobs.recipe.schema import Recipe
from jobs.runtime.leases import writes
from jobs.runtime.terminal import columns, say

__all__ = ["run"]


def run(recipe: Recipe, *, dry_run: bool) -> None:
    """Bring the files of the recipe's sources to `data_root`, or, with `dry_run`, say what would come.

    Raises:
        UserError: a set is not there, not for this token, or a file of another kind is in the way; nothing is fetched.
        RunError: files failed; the others are there, and of these what has come.
    """
    if dry_run:
        _look(recipe)
    else:
        _fetch(recipe)


@writes("preprocess.data_root")
def _fetch(recipe: Recipe) -> None:
    stop = Event()
    hub, sets, state = _look(recipe, stop)
    if not state.missing:
        say(f"all {len(state.there):,} files are in {recipe.preprocess.data_root}: nothing to fetch")
    bring_all(recipe, hub, sets, state, stop)


def _look(recipe: Recipe, stop: Event | None = None) -> tuple[Hub, list[WantedSet], State]:
    """Ask the hub what there is, and say what of it is wanted, what is there and what is to come."""
    config = recipe.preprocess
    sources = [*used_sources(config), *config.decontaminate.against, *recipe.rl.prompts]
    data_root = storage.absolute(config.data_root)
    record = Record.read(data_root)
    hub = Hub(recipe.fetch, stop or Event(), say)
    sets = wanted_sets(sources, _repositories(sources, hub, record))
    if not sets:
        raise RecipeError("no source of the recipe says where its files are had: give preprocess.sources a section hub")
    state = state_of(sets, record, data_root)
    _show(sets, state, config.data_root)
    for source in sources:
        if source.by_hand is not None:
            say(f"by hand, for {source.name}: {source.by_hand}")
    return hub, sets, state


def _repositories(
    sources: Sequence[SourceConfig], hub: Hub, record: Record
) -> dict[tuple[str, str | None], Repository]:
    """The listings of all sets; what is wrong with several of them is said at once.

    Raises:
        UserError: sets are not there, or not for this token.
    """
    found: dict[tuple[str, str | None], Repository] = {}
    wrong: list[UserError] = []
    for source in sources:
        if source.hub is None or (key := (source.hub.dataset, source.hub.revision)) in found:
            continue
        commit = source.hub.revision or record.commit_of(source.hub.dataset)
        try:
            found[key] = hub.repository(source.hub.dataset, commit)
        except UserError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise UserError(f"{len(wrong)} data sets can't be fetched: " + "; ".join(dict.fromkeys(map(str, wrong))))
    return found


def _show(sets: Sequence[WantedSet], state: State, data_root: str) -> None:
    rows = [
        (
            ", ".join(one.sources),
            one.repository.dataset,
            one.repository.commit[:12],
            f"{len(one.files):,}",
            _size(one.size),
            one.repository.licence,
        )
        for one in sets
    ]
    files, size = sum(len(one.files) for one in sets), sum(one.size for one in sets)
    rows.append(("all", f"{len(sets):,} data sets", "", f"{files:,}", _size(size), ""))
    columns("wanted of the hub", ("sources", "data set", "commit", "files", "size", "licence"), rows)
    left = sum(file.size for file in state.missing)
    say(
        f"{size:,} bytes in all; in {data_root} are {len(state.there):,} of the files, "
        f"{len(state.missing):,} with {left:,} bytes are to come"
    )


def _size(number: int) -> str:
    if number < 100_000:
        return f"{number:,} B"
    return f"{number / 1e9:,.2f} GB" if number >= 10_000_000 else f"{number / 1e6:,.2f} MB"
