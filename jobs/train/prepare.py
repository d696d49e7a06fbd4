"""Before a training runs: recipe, data and model are checked, the folder claimed, the MLflow run created or resumed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cluster.session import ClusterInfo
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import is_local, join, read_bytes, remove_drafts, write_atomic
from jobs.pages.data_page import page_of
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.addresses import check_address
from jobs.recipe.schema import Recipe, to_yaml, with_absolute_paths
from jobs.runtime.terminal import say
from jobs.tracking.address import check_tracking
from jobs.tracking.run_writer import EVALUATED_TAG
from jobs.tracking.tracker import Tracker
from jobs.train.progress import Watch
from jobs.train.record import TrainingRecord
from jobs.train.room import PlacementQueue
from jobs.train.run_page import RECIPE_FILE, RunPage
from jobs.train.state import claim_output, is_logged
from jobs.train.suites import checked_suites, prepared_sets
from rm_core.model_folder.folder import is_complete, verify_folder
from rm_core.model_folder.given_heads import check_no_given_head
from rm_core.model_folder.reading import check_base
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.training.data_plan import make_plan, shown_more_often

__all__ = ["ParentJob", "Training", "prepare"]


@dataclass(frozen=True, kw_only=True)
class ParentJob:
    """What a larger job gives to a training that is part of it."""

    cluster: ClusterInfo
    """The cluster, which the job has open."""
    run_id: str
    """The job's MLflow run."""
    run_name: str
    """The name of the training's own MLflow run."""
    watch: Watch
    """Follows the training, in place of a progress bar."""
    queue: PlacementQueue
    """In which the job's trainings wait for free workers."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """More tags of the training's MLflow run."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that may run: checked, with a folder and an MLflow run."""

    recipe: Recipe
    config: TrainConfig
    """The recipe's, with absolute paths; `data` is the path of a manifest."""
    data: PreparedData
    num_steps: int
    tracker: Tracker
    record: TrainingRecord
    parent: ParentJob | None

    @property
    def export_folder(self) -> str:
        """Where the finished model goes."""
        return join(self.config.output, "export")

    def write_page(
        self, state: str, reason: str = "", metrics: Mapping[str, float] | None = None, last_step: int | None = None
    ) -> None:
        """Write the run's page in MLflow.

        Args:
            state: running, finished, failed or killed.
            reason: why it ended, where that is not the end of its plan.
            metrics: the newest of each, of a training that has ended.
            last_step: of a training that finished before the end of its plan.
        """
        page = RunPage(
            recipe=self.recipe,
            manifest=self.data.manifest,
            output=self.config.output,
            num_steps=self.num_steps,
            attempts=self.record.attempts,
            metrics=metrics or {},
            state=state,
            reason=reason,
            last_step=last_step,
        )
        self.tracker.write_page(page.parts(), page.tags() | self.record.cluster)


def prepare(recipe: Recipe, parent: ParentJob | None = None) -> Training | None:
    """Check and claim everything that `recipe.train` needs; None where the training is finished already.

    Raises:
        UserError: a recipe value, the data or the model folder is wrong, or the output holds another training.
        RunError: MLflow can't be reached.
    """
    check_address(recipe.tracking.uri)
    config = checked_config(recipe)
    data = PreparedData.open(config.data)
    check_base(config.model, data)
    _, plan = make_plan(config, data)
    for line in shown_more_often(config, plan):
        say(line)
    suites = checked_suites(recipe, config, data)
    is_finished = is_complete(join(config.output, "export")) and is_logged(config.output)
    if not is_finished:
        check_tracking(recipe.tracking)  # before the folder is this training's
    claim_output(config, data.manifest.fingerprint)
    remove_drafts(config.output)
    if is_finished:
        return None
    sets = prepared_sets(recipe, config, data, suites)
    write_atomic(join(config.output, RECIPE_FILE), to_yaml(recipe).encode())  # what the page's commands name
    tracker = make_tracker(recipe, config, parent)
    with tracker.ended_by_errors():
        start_tracking(tracker, recipe, config, data, parent)
        tracker.set_tags({f"{EVALUATED_TAG}{one.name}": one.measured_on for one in sets})
        training = Training(
            recipe=recipe,
            config=config,
            data=data,
            num_steps=plan.num_steps,
            tracker=tracker,
            record=TrainingRecord(config.output),
            parent=parent,
        )
        training.write_page("running")
    return training


def checked_config(recipe: Recipe) -> TrainConfig:
    """`recipe.train` with absolute paths and the manifest of its data."""
    config = with_absolute_paths(recipe.train, "model", "data", "output", "cache_dir")
    check_train_config(config)
    # A folder that another tool wrote has no checksums to compare; each node checks a remote one when it copies it.
    if is_local(config.model):
        if is_complete(config.model):
            verify_folder(config.model)
        else:
            check_no_given_head(config.model)
    return replace(config, data=manifest_of(recipe, config.data))


def make_tracker(recipe: Recipe, config: TrainConfig, parent: ParentJob | None) -> Tracker:
    """The training's MLflow run: the first attempt creates it, later ones resume it."""
    return Tracker(
        recipe.tracking,
        run_dir=config.output,
        run_name=parent.run_name if parent else recipe.name,
        parent=parent.run_id if parent else None,
    )


def start_tracking(
    tracker: Tracker, recipe: Recipe, config: TrainConfig, data: PreparedData, parent: ParentJob | None
) -> None:
    """What the run says of the training before it begins."""
    manifest = data.manifest
    tags = {"data_fingerprint": manifest.fingerprint, "data_manifest": manifest.address}
    tracker.log_recipe(recipe, "train", tags | dict(parent.tags if parent else {}))
    tracker.log_dataset(
        name=recipe.name,
        fingerprint=manifest.fingerprint,
        source=config.data,
        profile=profile(data),
        context="training",
    )
    tracker.log_text_once("data/manifest.json", lambda: read_bytes(config.data).decode())
    tracker.log_text_once("data/data.html", lambda: page_of(config.data))


def profile(data: PreparedData) -> dict[str, object]:
    """The data's profile in MLflow: counts, and how many Comparisons of every source an epoch shows."""
    counts = data.manifest.counts
    return {
        "address": data.manifest.address,
        "seen": counts.seen,
        "kept": counts.kept,
        "refused": counts.refused_by_reason,
        "splits": counts.by_split,
        "epoch": {name: source.shown for name, source in counts.by_source.items()},
    }
