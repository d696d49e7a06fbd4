"""The driver's adapter to MLflow: one run, its parameters, tags, data, files and models.

The driver makes one run, or takes up the one that ``<run_dir>/job_state.json`` names, and gives ``(uri, run_id)`` to
world rank 0, which logs points by step through `metric_logger`. Names are grouped: ``train/``, ``eval/``, ``system/``.
"""

import json
import logging
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # first: it sets what mlflow reads when it is imported

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Param
from mlflow.exceptions import MlflowException

from data_pipeline import storage
from data_pipeline.errors import MissingInput, RunError
from jobs.recipe.schema import Recipe, TrackingConfig, to_flat_params, to_yaml
from jobs.tracking.run_header import source_tags, with_part

__all__ = ["ENDED_TAG", "UNREACHABLE", "Tracker", "absolute_uri"]

ENDED_TAG = "ended"
PARENT_TAG = "mlflow.parentRunId"  # what the UI nests runs by

UNREACHABLE = (MlflowException, OSError)
"""What the client raises where the store doesn't answer; OSError: requests' own errors."""

MAX_PARAM_CHARS = 6000  # of a parameter's value
MAX_TAG_CHARS = 8000
MAX_DIGEST_CHARS = 36
PARAMS_A_BATCH = 100
SQLITE = "sqlite:///"
NOT_IN_MODEL_NAMES = r"[/:.%\"']"  # a recipe's name may hold them: paper/mixture
MODEL_VERSIONS_TAG = "mlflow.modelVersions"  # where the UI looks for a logged model's registered versions

# Creating a store prints one INFO line for each of its migrations.
for _name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking", "sqlalchemy"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def absolute_uri(uri: str) -> str:
    """`uri` with an SQLite path made absolute, for processes that run in another folder; its folder is made."""
    if not uri.startswith(SQLITE):
        return uri
    path = Path(uri.removeprefix(SQLITE)).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"{SQLITE}{path}"


class Tracker:
    """One MLflow run, written by the driver. `uri` and `run_id` are what a `MetricLogger` needs."""

    def __init__(self, config: TrackingConfig, *, run_dir: str, run_name: str, parent: str | None = None) -> None:
        """Take up the run that ``<run_dir>/job_state.json`` names, or make one and write its id there.

        Args:
            parent: id of the run that a new one is shown below.

        Raises:
            MissingInput: the store doesn't know the run that the state names.
            RunError: the store can't be reached.
        """
        self.uri = absolute_uri(config.uri)
        self._client = MlflowClient(tracking_uri=self.uri)
        self._state_url = storage.join(run_dir, "job_state.json")
        state = self._read_state()
        try:
            self._experiment_id = self._experiment(config)
            run_id = state.get("mlflow_run_id")
            self.resumed = run_id is not None
            if run_id is None:
                tags = {} if parent is None else {PARENT_TAG: parent}
                run_id = self._client.create_run(self._experiment_id, run_name=run_name, tags=tags).info.run_id
                self._write_state(mlflow_run_id=run_id)
            else:
                self._client.update_run(run_id, status="RUNNING")
                if ENDED_TAG in self._client.get_run(run_id).data.tags:
                    self._client.delete_tag(run_id, ENDED_TAG)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                message = f"{self._state_url} names MLflow run {run_id}, which {config.uri} doesn't have: "
                raise MissingInput(
                    f"{message}set tracking.uri to its store, or remove that file to begin anew"
                ) from error
            raise RunError(f"tracking.uri={config.uri}: {str(error).splitlines()[0]}") from error
        self.run_id: str = run_id
        self.began_s = self._client.get_run(run_id).info.start_time / 1000
        """When the run was made, in seconds since 1970; restarts leave it."""

    def log_recipe(self, recipe: Recipe, command: str, tags: Mapping[str, str], sections: Sequence[str] = ()) -> None:
        """Log what runs: the recipe as parameters and as a file, `tags`, and MLflow's own of user, source and commit.

        Args:
            command: its name, such as ``train``.
            sections: those of the recipe that become parameters; none: all.
        """
        self.log_params(to_flat_params(recipe, sections))
        self.log_text(to_yaml(recipe), "config/recipe.yaml")
        self.set_tags({"recipe": recipe.name, **source_tags(f"basereward {command} {recipe.name}"), **tags})

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log the flat resolved config; a value that differs from an earlier attempt's becomes tag ``resumed.KEY``."""
        earlier = self._client.get_run(self.run_id).data.params
        values = {key: _shorten(value, MAX_PARAM_CHARS) for key, value in params.items()}
        fresh = iter([Param(key, value) for key, value in values.items() if key not in earlier])
        while batch := list(islice(fresh, PARAMS_A_BATCH)):
            self._client.log_batch(self.run_id, params=batch)
        self.set_tags({f"resumed.{key}": value for key, value in values.items() if earlier.get(key, value) != value})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, for example ``recipe``, ``git_commit``, ``data_fingerprint``; the newest value counts."""
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, _shorten(value, MAX_TAG_CHARS))

    def describe(self, text: str, heading: str = "") -> None:
        """Write the description at the head of the run's page, in Markdown.

        Args:
            text: takes the place of what stood there.
            heading: below it; the description's other parts stay. Without one: its first part.
        """
        self.write_page({heading: text}, {})

    def write_page(self, parts: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Write several parts of the description by their heading, and tags beside it."""
        key = "mlflow.note.content"
        text = self._client.get_run(self.run_id).data.tags.get(key, "")
        for heading, part in parts.items():
            text = with_part(text, heading, part)
        self.set_tags({key: text, **tags})

    def log_dataset(
        self, *, name: str, fingerprint: str, source: str, profile: Mapping[str, object], context: str
    ) -> None:
        """Make prepared data an input of the run.

        Args:
            name: what the UI shows.
            fingerprint: the manifest's sha256; MLflow keeps its first 36 characters as the digest.
            source: the folder of the data.
            profile: counts, shown as JSON.
            context: what it is used for: ``training`` or ``evaluation``.
        """
        dataset = Dataset(
            name=name,
            digest=fingerprint[:MAX_DIGEST_CHARS],
            source_type="local" if "://" not in source else source.partition("://")[0],
            source=json.dumps({"uri": source}),
            profile=json.dumps(profile, sort_keys=True),
        )
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log one point of each metric, for example ``eval/accuracy``; points of a step that is there are left out."""
        with MetricLogger(self.uri, self.run_id, patience_s=120) as logger:
            logger.log(step, values)

    def log_evaluation(self, numbers: Mapping[str, float]) -> None:
        """Log the numbers of an evaluation below ``eval/``, for example ``accuracy`` or ``source/NAME/accuracy``."""
        self.log_metrics({f"eval/{_in_its_section(name)}": value for name, value in numbers.items()})

    def metrics(self) -> dict[str, float]:
        """The newest value of each metric."""
        return dict(self._client.get_run(self.run_id).data.metrics)

    def points(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every point of a metric, in their order; none where there is no such metric."""
        return [(point.step, point.value) for point in self._client.get_metric_history(self.run_id, name)]

    def log_bytes(self, data: bytes, name: str) -> None:
        """Write `data` to artifact `name`, for example ``plots/training.png``."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="basereward-artifact-") as place:
            path = Path(place, file)
            path.write_bytes(data)
            self._client.log_artifact(self.run_id, str(path), folder or None)

    def log_file(self, path: str | Path, folder: str | None = None) -> None:
        """Copy a local file, or everything in a local folder, to the run's artifacts below `folder`.

        Raises:
            MissingInput: there is nothing at `path`.
        """
        if not Path(path).exists():
            raise MissingInput(f"no file or folder {str(path)!r} to log to MLflow: the step that writes it has not run")
        if Path(path).is_dir():
            self._client.log_artifacts(self.run_id, str(path), folder)
        else:
            self._client.log_artifact(self.run_id, str(path), folder)

    def log_text(self, text: str, name: str) -> None:
        """Write `text` to artifact `name`, for example ``config/recipe.yaml``."""
        self._client.log_text(self.run_id, text, name)

    def log_text_once(self, name: str, text: Callable[[], str]) -> None:
        """Write what `text` returns to artifact `name`; an artifact that an earlier attempt wrote is left as it is."""
        folder = name.rpartition("/")[0]
        if all(entry.path != name for entry in self._client.list_artifacts(self.run_id, folder or None)):
            self._client.log_text(self.run_id, text(), name)

    def log_model(self, folder: str | Path, *, name: str, step: int, beside: str | None = None) -> str:
        """Log an exported model as the run's output, once; a restart that logs it again gets the first id.

        Args:
            folder: local folder with weights, config and processor.
            name: what the UI shows.
            step: the optimiser step the weights are from.
            beside: another local folder, whose files go beside the model's.

        Returns:
            The id of the logged model.
        """
        key = f"mlflow_model_{name}_{step}"
        if known := self._read_state().get(key):
            return known
        shown = re.sub(NOT_IN_MODEL_NAMES, "_", name)
        model = self._client.create_logged_model(self._experiment_id, name=shown, source_run_id=self.run_id)
        for part in (str(folder), *([beside] if beside else [])):
            self._client.log_model_artifacts(model.model_id, part)
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step)])
        self._write_state(**{key: model.model_id})
        return str(model.model_id)

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """End the run: FINISHED, FAILED or KILLED; tag ``ended`` says why."""
        self.set_tags({ENDED_TAG: reason or status.lower()})
        self._client.set_terminated(self.run_id, status)

    def _experiment(self, config: TrackingConfig) -> str:
        found = self._client.get_experiment_by_name(config.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = config.artifacts
        if location is None and self.uri.startswith(SQLITE):
            location = (Path(self.uri.removeprefix(SQLITE)).parent / "mlartifacts").as_uri()
        # Without the kind the UI opens on its pages for language-model applications.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(self._client.create_experiment(config.experiment, artifact_location=location, tags=kind))

    def _read_state(self) -> dict[str, str]:
        if not storage.exists(self._state_url):
            return {}
        state: dict[str, str] = json.loads(storage.read_bytes(self._state_url))
        return state

    def _write_state(self, **changes: str) -> None:
        state = self._read_state() | changes
        storage.write_atomic(self._state_url, json.dumps(state, indent=2, sort_keys=True).encode())


def _in_its_section(name: str) -> str:
    """A number's name in MLflow, whose pages make a section of each group: sources belong into one, members too.

    >>> _in_its_section("source/captions/accuracy"), _in_its_section("member/large/accuracy")
    ('by_source/captions', 'by_member/large')
    >>> _in_its_section("accuracy")
    'accuracy'
    """
    kind, _, rest = name.partition("/")
    return f"by_{kind}/{rest.removesuffix('/accuracy')}" if rest else name


def _shorten(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"
