"""`basereward demo`: the whole main job on synthetic data, on one cluster, ending with a summary.

write raw files in public record shapes -> init-model -> preprocess -> train -> evaluate -> score -> summary.json
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RunError
from data_pipeline.storage import join, open_input, read_json, write_atomic
from data_pipeline.synthetic import SyntheticReport, write_synthetic
from jobs import init_model
from jobs.evaluate import evaluate, score
from jobs.preprocess import preprocess
from jobs.recipe.schema import Recipe
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import say, table
from jobs.tracking.address import check_tracking
from jobs.train import train

__all__ = ["run"]

NUM_COMPARISONS = 2400
SEED = 0
WRONG_CRITIQUES = 0.1
"""Share of the critiques, and of the reasonings, that are wrong about a word, where the recipe reads them."""
_NUM_SCORED = 8


def run(recipe: Recipe) -> None:
    """Run every stage below `recipe.run_dir`; stages that are finished are left as they are.

    Raises:
        RunError: a stage failed, or planted bad records were not all refused.
    """
    check_tracking(recipe.tracking)
    wall_s: dict[str, float] = {}
    with _timed("synthesise", wall_s):
        encode = recipe.preprocess.encode
        planted = write_synthetic(
            recipe.data_root,
            num_comparisons=NUM_COMPARISONS,
            seed=SEED,
            wrong_critiques=WRONG_CRITIQUES if encode.critiques == "given" else None,
            wrong_reasonings=WRONG_CRITIQUES if encode.reasonings == "given" else None,
        )
    with ExitStack() as stack:
        with _timed("cluster", wall_s):
            cluster = stack.enter_context(open_cluster(recipe.cluster))
        say(f"Ray dashboard: {cluster.dashboard_url}")
        for name, stage in (("init_model", init_model), ("preprocess", preprocess), ("train", train)):
            with _timed(name, wall_s):
                stage.run(recipe)
        with _timed("evaluate", wall_s):
            evaluate.run(recipe)
        with _timed("score", wall_s):
            recipe.score.input = write_score_input(recipe)
            score.run(recipe)
    summary = summarise(recipe, planted, wall_s)
    path = join(recipe.run_dir, "summary.json")
    write_atomic(path, (json.dumps(summary, indent=2, sort_keys=True) + "\n").encode())
    show(path, summary)


def write_score_input(recipe: Recipe) -> str:
    """A few raw records as an input for scoring, beside the files they came from, so that image paths hold."""
    with open_input(join(recipe.data_root, "captions", "captions.jsonl")) as file:
        lines = list(islice(file, _NUM_SCORED))
    path = join(recipe.data_root, "captions", "to_score.jsonl")
    write_atomic(path, b"".join(lines))
    return path


def summarise(recipe: Recipe, planted: SyntheticReport, wall_s: dict[str, float]) -> dict[str, object]:
    """The numbers of the whole run.

    Raises:
        RunError: a planted bad record was not refused for its reason.
    """
    manifest = PreparedData.open(recipe.preprocess.output).manifest
    refused = manifest.counts.refused_by_reason
    if refused != planted.planted:
        raise RunError(f"planted bad records {planted.planted}, but preprocessing refused {refused}")
    report = read_json(join(recipe.evaluate.output, "report.json"), dict)
    run_id = read_json(join(recipe.train.output, "job_state.json"), dict)["mlflow_run_id"]
    return {
        "comparisons_seen": manifest.counts.seen,
        "comparisons_kept": manifest.counts.kept,
        "comparisons_refused": refused,
        "steps": recipe.train.max_steps,
        "heldout_accuracy": report["overall"]["accuracy"]["value"],
        "heldout_pairs": report["overall"]["accuracy"]["num_pairs"],
        "image_accuracy": report["by_modality"]["image"]["accuracy"]["value"],
        "blank_image_accuracy": report["blank_images"]["blank"]["value"],
        "text_accuracy": report["by_modality"]["text"]["accuracy"]["value"],
        "length_only_accuracy": report["overall"]["length_only"]["value"],
        "mlflow_run_id": run_id,
        "wall_s": {name: round(seconds, 1) for name, seconds in wall_s.items()},
    }


def show(path: str, summary: dict[str, object]) -> None:
    """The summary as a small table, and the next command to type."""
    refused = summary["comparisons_refused"]
    assert isinstance(refused, dict)
    rows = [
        ("Comparisons kept / refused", f"{summary['comparisons_kept']:,} / {sum(refused.values())}"),
        ("held-out pair accuracy", f"{summary['heldout_accuracy']:.3f}"),
        ("  with images", f"{summary['image_accuracy']:.3f}"),
        ("  the same, images blanked", f"{summary['blank_image_accuracy']:.3f}"),
        ("  text only", f"{summary['text_accuracy']:.3f}"),
        ("  longer answer wins (baseline)", f"{summary['length_only_accuracy']:.3f}"),
        ("all of it", path),
    ]
    table("The demo's reward model", rows)
    say("Next: `make ui` shows the run in MLflow; `basereward train --help` starts your own.")


@contextmanager
def _timed(stage: str, wall_s: dict[str, float]) -> Iterator[None]:
    start_s = time.perf_counter()
    yield
    wall_s[stage] = time.perf_counter() - start_s
