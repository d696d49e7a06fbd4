"""`basereward preprocess`: raw records to Arrow shards, on the recipe's cluster.

`data_pipeline.pipeline` is what is done, `ray_workers` where. A finished output is left as it is; a killed or failed
run keeps its finished units; where only filters changed no unit is done again and no cluster is started.
"""

from collections.abc import Mapping

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.pipeline import run_pipeline
from data_pipeline.storage import remove_drafts
from jobs.pages.data_page import complete_data_page, write_data_page
from jobs.preprocess.ray_workers import RayWorkers
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.runtime.terminal import columns, say

__all__ = ["run", "unread_rows"]

_MAX_UNREAD = 10


def run(recipe: Recipe) -> None:
    """Prepare `recipe.preprocess.output`.

    Raises:
        UserError: a source, tokenizer or shape is not there.
        NoSpace: the disk is full.
        RunError: units kept failing (the others are done), or the counts don't add up.
    """
    config = with_absolute_paths(recipe.preprocess, "data_root", "output", "tokenizer")
    output = recipe.preprocess.output
    remove_drafts(config.output)
    with RayWorkers(recipe.cluster) as workers:
        prepared = run_pipeline(config, workers)
    if prepared.plan is None:
        say(f"{output} is finished already: nothing to do")
        show(output, prepared.manifest)
        if (missing := complete_data_page(config.output)) is not None:
            say(f"page of the data: {missing}")
        return
    page = write_data_page(config.output)
    show(output, prepared.manifest)
    say(f"page of the data: {page}")
    if prepared.plan.missing and workers.tally is not None:
        say(workers.tally.summary())


def show(output: str, manifest: Manifest) -> None:
    """The counts of each source, of each reason and of each field that was not read, and the manifest's address."""
    counts = manifest.counts
    rows: list[tuple[str, ...]] = []
    for name, source in counts.by_source.items():
        rows.append((name, f"{source.seen:,}", f"{source.kept:,}", f"{source.refused:,}", f"{source.shown:,}"))
        rows += [(f"  {reason}", "", "", f"{count:,}", "") for reason, count in source.refused_by_reason.items()]
        if source.groups:
            rows.append(("  groups of one prompt", "", f"{source.groups:,}", "", ""))
        rows += [(f"  {what}", number, "", "", "") for what, number in unread_rows(source.unread)]
    shown = sum(source.shown for source in counts.by_source.values())
    rows.append(("all", f"{counts.seen:,}", f"{counts.kept:,}", f"{counts.refused:,}", f"{shown:,}"))
    columns(f"Comparisons in {output}", ("source", "seen", "kept", "refused", "shown an epoch"), rows, numbers=True)
    splits = ", ".join(f"{number:,} {split}" for split, number in sorted(counts.by_split.items()))
    say(f"kept: {splits or 'nothing'}; manifest {manifest.address}")


def unread_rows(unread: Mapping[str, int]) -> list[tuple[str, str]]:
    """(what was not read, of how many records); of very many fields the most frequent ones."""
    found = sorted(unread.items(), key=lambda one: (-one[1], one[0]))
    rows = [(f"not read: {name}", f"{count:,}") for name, count in found[:_MAX_UNREAD]]
    return [*rows, (f"not read: {len(found) - _MAX_UNREAD} more fields", "")] if len(found) > _MAX_UNREAD else rows
