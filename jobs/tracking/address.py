"""The MLflow store of an address: opened, and asked for the experiment, before any work is done."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # noqa: F401  # it sets what mlflow reads at its import

from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_EXPERIMENT_NAME_LENGTH

from data_pipeline.errors import MissingInput, RecipeError, RunError, UserError
from jobs.recipe.addresses import SQLITE, STORE_CURE, STORE_KEY, STORE_SIGN_IN, check_address
from jobs.recipe.schema import TrackingConfig
from jobs.tracking.answers import check_answers

__all__ = ["UNREACHABLE", "absolute_uri", "check_tracking", "find_experiment", "store_errors"]

UNREACHABLE = (MlflowException, OSError)
"""What the client raises where the store doesn't answer; OSError: requests' own errors."""

_NO_ENTRY = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")


def absolute_uri(uri: str, key: str = STORE_KEY) -> str:
    """A checked address, an SQLite path in it made absolute, for processes that run in another folder.

    An SQLite file is made with its folder, empty.

    Raises:
        RecipeError: as `check_address`; or the path is no file that SQLite could open.
    """
    check_address(uri, key)
    if not uri.startswith(SQLITE):
        return uri
    path = Path(uri.removeprefix(SQLITE)).absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"{key}={uri} can't be made: {error.strerror} ({error.filename}): {STORE_CURE}") from error
    try:  # MLflow would try for two minutes
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rwc", uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise RecipeError(f"{key}={uri} can't be opened as an SQLite database ({error}): {STORE_CURE}") from error
    return f"{SQLITE}{path}"


def check_tracking(config: TrackingConfig) -> None:
    """Before any work: the address names a store that answers, and the experiment is there or may be made.

    Raises:
        UserError: the address or the experiment's name is wrong, the experiment was deleted, or a password is missing.
        RunError: the store doesn't answer.
    """
    find_experiment(config)


def find_experiment(config: TrackingConfig) -> Experiment | None:
    """The experiment, which is active; None where the store has none of the name.

    Raises:
        UserError, RunError: as `check_tracking`.
    """
    name, uri = config.experiment, absolute_uri(config.uri)
    if not name.strip() or not name.isprintable() or len(name) > MAX_EXPERIMENT_NAME_LENGTH:
        raise RecipeError(
            f"tracking.experiment={name[:40]!r} is no name: give one of 1 to {MAX_EXPERIMENT_NAME_LENGTH} characters, "
            "without control characters"
        )
    check_answers(uri)
    with store_errors(config.uri):
        found = MlflowClient(tracking_uri=uri).get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise MissingInput(
            f"tracking.experiment={name!r} was deleted from {config.uri}: give another name, or restore it with "
            f"`MLFLOW_TRACKING_URI={uri} mlflow experiments restore --experiment-id {found.experiment_id}`"
        )
    return found


@contextmanager
def store_errors(uri: str, key: str = STORE_KEY) -> Iterator[None]:
    """In the block, what MLflow's client raises becomes an error of one line that names the address.

    Raises:
        UserError: the server wants to know who asks.
        RunError: the store doesn't answer, or not as a store does.
    """
    try:
        yield
    except UNREACHABLE as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        code = getattr(error, "error_code", "")
        if code in _NO_ENTRY or "error code 401" in said or "error code 403" in said:
            raise UserError(f"{key}={uri}: {said}; {STORE_SIGN_IN} in the environment") from error
        raise RunError(f"{key}={uri}: {said}") from error
