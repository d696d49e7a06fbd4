"""Whether an MLflow server answers, asked before anything is: its client alone waits for minutes without a word."""

import threading
import time

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # noqa: F401  # it sets what mlflow reads at its import

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from data_pipeline.errors import RunError

__all__ = ["check_answers"]

ANSWER_S = 12.0
"""Time to answer, where nothing is lost if the command is given again."""
_PAUSE_S = 1.0
_QUESTION = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"  # of the database, too
_GATEWAYS = (502, 503, 504)  # what stands before a server that doesn't answer

_ANSWERED: set[str] = set()


def check_answers(uri: str, patience_s: float = 0.0) -> None:
    """Return as soon as the MLflow server at `uri` has answered something; at once where it has before, or is a file.

    Args:
        patience_s: how long it is tried again, `ANSWER_S` at least.

    Raises:
        RunError: it doesn't answer.
    """
    if not uri.startswith(("http://", "https://")) or uri in _ANSWERED:
        return
    deadline_s = time.monotonic() + max(patience_s, ANSWER_S)
    said = "it accepts a connection and is silent"
    while (left_s := deadline_s - time.monotonic()) > 0:
        answer: list[str] = []
        # A timeout of the client's own would begin anew with every byte.
        asking = threading.Thread(target=_ask, args=(uri, min(left_s, ANSWER_S), answer), daemon=True)
        asking.start()
        asking.join(min(left_s, ANSWER_S))
        if answer == [""]:
            _ANSWERED.add(uri)
            return
        said = answer[0] if answer else said
        time.sleep(min(_PAUSE_S, max(0.0, deadline_s - time.monotonic())))
    raise RunError(
        f"MLflow at tracking.uri={uri} does not answer ({said}): check the address, and that its server runs"
    )


def _ask(uri: str, timeout_s: float, answer: list[str]) -> None:
    """Put "" into `answer` where there is one, or what went wrong."""
    try:
        response = http_request(
            get_default_host_creds(uri), _QUESTION, "GET", max_retries=0, timeout=timeout_s, raise_on_status=False
        )
    except (MlflowException, OSError) as error:
        answer.append(str(error).splitlines()[0][:300])
        return
    answer.append(f"HTTP {response.status_code}" if response.status_code in _GATEWAYS else "")
