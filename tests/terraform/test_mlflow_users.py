"""Drill: what users of the MLflow server that Terraform starts see of each other, by every way that there is.

Ann has a run with a file and a registered model; Bob has an account; Ria has a role that reads everything.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow_image import ImageServer, image_server
from postgres_server import postgres_server  # noqa: F401

pytestmark = pytest.mark.drill

PASSWORDS = {name: f"the password of {name}" for name in ("admin", "ann", "bob", "ria")}
SETTINGS = {
    "ADMIN_NAME": "admin",
    "ADMIN_PASSWORD": PASSWORDS["admin"],
    "SESSION_KEY": "session-key",
    "ALLOWED_HOSTS": "127.0.0.1:*",
}
SECRET = "seen by those who may"
MODEL = "anns-model"
QUERIES = {
    "mlflowGetRun": ("MlflowGetRunInput", "run { info { runId } data { metrics { key } } modelVersions { name } }"),
    "mlflowGetExperiment": ("MlflowGetExperimentInput", "experiment { name }"),
    "mlflowSearchRuns": ("MlflowSearchRunsInput", "runs { info { runId } }"),
    "mlflowSearchModelVersions": ("MlflowSearchModelVersionsInput", "modelVersions { name }"),
    "mlflowListArtifacts": ("MlflowListArtifactsInput", "files { path }"),
}


@dataclass(frozen=True)
class Place:
    """The server, and what Ann has there."""

    server: ImageServer
    experiment: str
    run: str

    def client(self, name: str) -> Any:
        """MLflow's own, as this user from now on."""
        from mlflow import MlflowClient

        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = name, PASSWORDS[name]
        return MlflowClient(self.server.url)

    def ask(self, name: str, path: str, verb: str = "GET", **body: Any) -> requests.Response:
        """An answer to this user, by no client of MLflow's."""
        login = (name, PASSWORDS[name])
        return requests.request(verb, f"{self.server.url}{path}", auth=login, timeout=60, **body)

    def query(self, name: str, field: str, asked: dict[str, Any]) -> Any:
        """What GraphQL, which MLflow's pages ask, has of one field."""
        kind, wanted = QUERIES[field]
        text = f"query Q($asked: {kind}!) {{ {field}(input: $asked) {{ {wanted} apiError {{ message }} }} }}"
        body = {"query": text, "operationName": "Q", "variables": {"asked": asked}}
        return self.ask(name, "/graphql", "POST", json=body).json()["data"][field]


@pytest.fixture(scope="module")
def place(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:  # noqa: F811
    from mlflow.server import get_app_client

    folder = tmp_path_factory.mktemp("users")
    with pytest.MonkeyPatch.context() as patch, image_server(SETTINGS, postgres_server, folder) as server:
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"):
            patch.setenv(name, "")
        patch.setenv("MLFLOW_TRACKING_URI", server.url)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        nothing = Place(server, "", "")
        nothing.client("admin")
        accounts = get_app_client("basic-auth", tracking_uri=server.url)
        for name in ("ann", "bob", "ria"):
            accounts.create_user(name, PASSWORDS[name])
        readers = accounts.create_role("default", "readers").id
        for kind in ("experiment", "registered_model"):
            accounts.add_role_permission(readers, kind, "*", "READ")
        accounts.assign_role("ria", readers)
        yield Place(server, *_anns(nothing.client("ann"), folder))


def _anns(client: Any, folder: Path) -> tuple[str, str]:
    """Her experiment and her run."""
    experiment = client.create_experiment("anns")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "loss", 0.5)
    (folder / "page.html").write_text(SECRET)
    client.log_artifact(run, str(folder / "page.html"), "data")
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, f"runs:/{run}/data", run_id=run)
    return experiment, run


def _readings(place: Place, client: Any) -> dict[str, Callable[[], Any]]:
    """Ways to read by MLflow's client; what is found is true."""
    return {
        "experiment": lambda: client.get_experiment(place.experiment),
        "experiment by name": lambda: client.get_experiment_by_name("anns"),
        "experiments": lambda: client.search_experiments(),
        "run": lambda: client.get_run(place.run),
        "runs": lambda: list(client.search_runs([place.experiment])),
        "metric": lambda: client.get_metric_history(place.run, "loss"),
        "files": lambda: client.list_artifacts(place.run, "data"),
        "model": lambda: client.get_registered_model(MODEL),
        "models": lambda: client.search_registered_models(),
        "version": lambda: client.get_model_version(MODEL, "1"),
        "versions": lambda: client.search_model_versions(),
    }


def _paths(place: Place) -> list[str]:
    """Addresses at which there is something of Ann's run."""
    file = f"mlflow-artifacts/artifacts/{place.experiment}/{place.run}/artifacts/data/page.html"
    history = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={place.run}&metric_key=loss"
    return [f"/api/2.0/{file}", f"/ajax-api/2.0/{file}", _page(place), history]


def _page(place: Place) -> str:
    return f"/get-artifact?path=data/page.html&run_uuid={place.run}"


def _asked(place: Place) -> dict[str, dict[str, Any]]:
    """For each query of GraphQL what it is asked for."""
    return {
        "mlflowGetRun": {"runId": place.run},
        "mlflowGetExperiment": {"experimentId": place.experiment},
        "mlflowSearchRuns": {"experimentIds": [place.experiment]},
        "mlflowSearchModelVersions": {"filter": ""},
        "mlflowListArtifacts": {"runId": place.run},
    }


def _found(read: Callable[[], Any]) -> bool:
    """Whether there is something; a refusal has to be 403."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(read())
    except MlflowException as error:
        assert "403" in str(error), error
        return False


def _is_empty(answer: Any) -> bool:
    """Of GraphQL: nothing, or lists of nothing."""
    return answer is None or not any(answer.values())


def test_one_who_has_an_account_sees_nothing_of_another(place: Place) -> None:
    """Neither runs nor files nor models, in searches, by their ids, or by what the pages ask."""
    readings = _readings(place, place.client("bob"))
    assert [name for name, read in readings.items() if _found(read)] == []
    assert [path for path in _paths(place) if place.ask("bob", path).status_code != 403] == []
    for path in ("", f"{place.experiment}", f"{place.experiment}/{place.run}"):
        assert place.ask("bob", f"/api/2.0/mlflow-artifacts/artifacts?path={path}").status_code == 403
    assert {field for field, asked in _asked(place).items() if not _is_empty(place.query("bob", field, asked))} == set()


def test_what_is_found_is_found_by_its_owner(place: Place) -> None:
    """The same questions have answers: that others get none is due to who asks."""
    assert all(_found(read) for read in _readings(place, place.client("ann")).values())
    assert [place.ask("ann", path).status_code for path in _paths(place)] == [200] * 4
    assert not [field for field, asked in _asked(place).items() if _is_empty(place.query("ann", field, asked))]


@pytest.mark.parametrize("name", ["bob", "ria"])
def test_nobody_changes_what_is_anothers(place: Place, name: str) -> None:
    client = place.client(name)
    changes: dict[str, Callable[[], Any]] = {
        "metric": lambda: client.log_metric(place.run, "loss", 0.1) or True,
        "tag": lambda: client.set_tag(place.run, "mlflow.note.content", "mine") or True,
        "alias": lambda: client.set_registered_model_alias(MODEL, "champion", "1") or True,
        "name": lambda: client.rename_registered_model(MODEL, "mine"),
        "version": lambda: client.create_model_version(MODEL, f"runs:/{place.run}/data", run_id=place.run),
        "end": lambda: client.delete_run(place.run) or True,
        "permission": lambda: place.ask(name, "/api/2.0/mlflow/users/get?username=ann").status_code != 403,
    }
    assert [what for what, change in changes.items() if _found(change)] == []
    file = f"/api/2.0/mlflow-artifacts/artifacts/{place.experiment}/{place.run}/artifacts/data/page.html"
    assert place.ask(name, file, "PUT", data=b"mine").status_code == 403
    assert place.ask(name, file, "DELETE").status_code == 403
    assert place.ask("ann", _page(place)).text == SECRET


def test_an_experiment_in_the_folder_of_another_shows_nothing_of_it(place: Place) -> None:
    """Whoever makes one says where its files lie: a run's lie in a folder of its own below, and no path leaves it."""
    client = place.client("bob")
    mine = client.create_experiment("bobs", artifact_location=f"mlflow-artifacts:/{place.experiment}")
    run = client.create_run(mine).info.run_id
    listing = f"/api/2.0/mlflow-artifacts/artifacts?path={place.experiment}/{run}"
    assert place.ask("bob", listing).status_code == 403
    for way in (f"../../{place.run}/artifacts", f"..%2F..%2F{place.run}%2Fartifacts", f"/{place.run}/artifacts"):
        answer = place.ask("bob", f"/get-artifact?path={way}/data/page.html&run_uuid={run}")
        assert answer.status_code >= 400 and SECRET not in answer.text


def test_a_role_may_read_everything(place: Place) -> None:
    assert all(_found(read) for read in _readings(place, place.client("ria")).values())
    assert [place.ask("ria", path).status_code for path in _paths(place)] == [200] * 4
    assert not [field for field, asked in _asked(place).items() if _is_empty(place.query("ria", field, asked))]
