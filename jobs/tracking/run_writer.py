"""What is written to one MLflow run whose id is known: parameters, tags, description, data, numbers and files.

No password of an address is written, in whatever text it stands.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # first: it sets what mlflow reads when it is imported
import getpass
import re
import subprocess

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param

from data_pipeline.errors import MissingInput
from data_pipeline.shown import masked
from data_pipeline.storage import exists, is_local, local_copy
from jobs.recipe.schema import Recipe, to_flat_params, to_yaml
from rm_core.evaluation.curve import grouped_name

__all__ = ["ATTEMPTS", "GOING_ON", "MAX_TAG_CHARS", "SECONDS_TAG", "SUITE_TAG", "RunWriter", "source_tags", "with_part"]


ATTEMPTS = "Attempts"
GOING_ON = "How to go on"
SECONDS_TAG = "seconds"
"""Of all attempts of a training; MLflow's own duration counts what lies between them too."""
_LAST = (ATTEMPTS, GOING_ON)  # they stand behind all results


def with_part(text: str, heading: str, part: str) -> str:
    """Markdown with `part` below ``## heading`` in place of what stood there; no heading: before the first."""
    first, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = {"": first.strip()}
    for section in rest:
        title, _, body = section.partition("\n")
        parts[title.strip()] = body.strip()
    parts[heading] = part.strip()
    for title in _LAST:
        if title in parts:
            parts[title] = parts.pop(title)
    return "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in parts.items() if title or body)


def source_tags(command: str) -> dict[str, str]:
    """MLflow's own tags for the head of a run's page: user, source and commit.

    Args:
        command: what was typed.
    """
    tags = {"mlflow.user": getpass.getuser(), "mlflow.source.name": command, "mlflow.source.type": "JOB"}
    commit = _git_commit()
    return tags if commit is None else {**tags, "mlflow.source.git.commit": commit}


def _git_commit() -> str | None:
    """The checkout's commit, with ``-dirty`` behind it where tracked files differ; None where this is no checkout."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git on this machine
        return None
    return described.stdout.strip() or None


MAX_PARAM_CHARS = 6000  # of a parameter's value
SUITE_TAG = "suite."
"""Begins the tags, of runs and of registered versions, that say what a published benchmark gave."""
EVALUATED_TAG = "while_training."
"""Begins the tags that say what a training's own evaluations were measured on."""
MAX_TAG_CHARS = 8000
MAX_DIGEST_CHARS = 36
PARAMS_A_BATCH = 100


class RunWriter:
    """One run of the store at `uri`; who makes it or finds it sets `run_id`."""

    run_id: str

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._client = MlflowClient(tracking_uri=uri)

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
        values = {key: _shorten(masked(value), MAX_PARAM_CHARS) for key, value in params.items()}
        fresh = iter([Param(key, value) for key, value in values.items() if key not in earlier])
        while batch := list(islice(fresh, PARAMS_A_BATCH)):
            self._client.log_batch(self.run_id, params=batch)
        self.set_tags({f"resumed.{key}": value for key, value in values.items() if earlier.get(key, value) != value})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, for example ``recipe``, ``git_commit``, ``data_fingerprint``; the newest value counts."""
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, _shorten(masked(value), MAX_TAG_CHARS))

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
            source=json.dumps({"uri": masked(source)}),
            profile=json.dumps(profile, sort_keys=True),
        )
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log one point of each metric, for example ``eval/accuracy``; points of a step that is there are left out."""
        with MetricLogger(self.uri, self.run_id, patience_s=120) as logger:
            logger.log(step, values)

    def log_evaluation(self, numbers: Mapping[str, float], group: str = "eval") -> None:
        """Log the numbers of an evaluation below ``eval/``, for example ``accuracy`` or ``source/NAME/accuracy``.

        Every evaluation of other numbers is a step of its own, so that the newest ones are those that MLflow shows.
        Ends of intervals and counts are no metrics: each would be a chart of one point.

        Args:
            group: another one, for what was not held out.
        """
        charts = {name: value for name, value in numbers.items() if not _is_beside_a_number(name)}
        self._log_newest(
            {f"{group}/{grouped_name(name).removeprefix('eval/')}": value for name, value in charts.items()}
        )

    def log_suite(self, suite: str, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a published benchmark below ``suite/NAME/``, as `log_evaluation` does."""
        self._log_newest({f"suite/{suite}/{name}": value for name, value in numbers.items()})

    def _log_newest(self, found: Mapping[str, float]) -> None:
        """Log numbers at a step after those of other values; nothing where all are there already."""
        earlier = self.metrics()
        if any(earlier.get(name) != value for name, value in found.items()):
            known = [name for name in found if name in earlier]
            steps = [point.step for name in known for point in self._client.get_metric_history(self.run_id, name)]
            self.log_metrics(found, step=max(steps, default=-1) + 1)

    def metrics(self) -> dict[str, float]:
        """The newest value of each metric."""
        return dict(self._client.get_run(self.run_id).data.metrics)

    def tag(self, name: str) -> str:
        """The newest value of a tag; empty where there is none."""
        return str(self._client.get_run(self.run_id).data.tags.get(name, ""))

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
        """Copy a file, local or in an object store, or everything in a local folder, to the run's artifacts.

        Args:
            folder: below which it stands there; None: at the top.

        Raises:
            MissingInput: there is nothing at `path`.
        """
        url = str(path)
        if is_local(url) and Path(url).is_dir():
            self._client.log_artifacts(self.run_id, url, folder)
            return
        if not exists(url):
            raise MissingInput(f"no file or folder {url!r} to log to MLflow: the step that writes it has not run")
        with local_copy(url) as local:
            self._client.log_artifact(self.run_id, local, folder)

    def log_text(self, text: str, name: str) -> None:
        """Write `text` to artifact `name`, for example ``config/recipe.yaml``."""
        self._client.log_text(self.run_id, masked(text), name)

    def log_text_once(self, name: str, text: Callable[[], str]) -> None:
        """Write what `text` returns to artifact `name`; an artifact that an earlier attempt wrote is left as it is."""
        folder = name.rpartition("/")[0]
        if all(entry.path != name for entry in self._client.list_artifacts(self.run_id, folder or None)):
            self.log_text(text(), name)


def _is_beside_a_number(name: str) -> bool:
    """Whether it says how sure another number is, or of how many: "accuracy_low", "num_pairs"."""
    last = name.rpartition("/")[2]
    return last.endswith(("_low", "_high")) or last.startswith("num_")


def _shorten(value: str, limit: int) -> str:
    return value if len(value) <= limit else value[: limit - 1] + "…"
