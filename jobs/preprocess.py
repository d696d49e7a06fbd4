"""`basereward preprocess`: raw records to Arrow shards, one Ray task a work unit.

    plan_units -> run_unit on the cluster, a bounded number at once -> finish (merge, dedupe, manifest last)

A finished output is left as it is; a killed one keeps its finished units.
"""

from functools import partial

from data_pipeline.manifest import Manifest
from data_pipeline.pipeline import finish, is_finished, plan_units, run_unit
from jobs.config import Recipe
from jobs.paths import with_absolute_paths
from jobs.ray_job import map_bounded, open_cluster
from jobs.terminal import progress, say, table

__all__ = ["run"]


def run(recipe: Recipe) -> None:
    """Prepare `recipe.preprocess.output`.

    Raises:
        UserError: a source, tokenizer or shape is not there.
        RunError: the counts don't add up, or a work unit failed.
    """
    config = with_absolute_paths(recipe.preprocess, "data_root", "output", "tokenizer")
    units = plan_units(config)
    manifest = is_finished(config, units)
    if manifest is not None:
        say(f"{recipe.preprocess.output} is finished already: nothing to do")
        _show(recipe.preprocess.output, manifest)
        return
    with open_cluster(recipe.cluster) as cluster, progress("preprocess work units", len(units)) as advance:
        limit = config.workers or cluster.num_cpus
        for done, _ in enumerate(map_bounded(partial(run_unit, config=config), units, limit=max(1, limit)), start=1):
            advance(done, "")
    _show(recipe.preprocess.output, finish(config, units))


def _show(output: str, manifest: Manifest) -> None:
    counts = manifest.counts
    rows = [("records seen", str(counts.seen)), ("kept", str(counts.kept)), ("refused", str(counts.refused))]
    rows += [(f"  {reason}", str(number)) for reason, number in sorted(counts.refused_by_reason.items())]
    rows += [(f"kept for {split}", str(number)) for split, number in sorted(counts.by_split.items())]
    table(f"Comparisons in {output}", rows)
