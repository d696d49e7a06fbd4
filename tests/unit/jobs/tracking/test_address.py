"""Addresses that people give for MLflow: refused in one line with key and cure, before anything is done."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.errors import RecipeError, RunError
from jobs.cli import main as cli
from jobs.recipe.addresses import check_address, check_no_secrets
from jobs.recipe.schema import Recipe, TrackingConfig
from jobs.registry.commands import list_versions
from jobs.tracking.address import absolute_uri, check_tracking

WRONG = (
    "file:./mlruns", "file:///tmp/mlruns", "./mlruns", "mlruns", "/tmp/mlruns", "127.0.0.1:5000", "localhost",
    "mlflow.example.com:443/x",
    "", " ", "databricks", "databricks://profile", "postgresql://host/db",
    "s3://bucket/mlruns", "ftp://host", "http://", "https:///x",
    "http:/host:5000", "http://host:port", "http://host:99999999", "http://[::1", "http://a b",
    "http://host/?x=1", "sqlite:mlflow.db", "sqlite://mlflow.db",
    "sqlite:///", "sqlite:////", "sqlite:///:memory:", "sqlite:///folder/",
    "sqlite:///s3://bucket/run/mlflow.db", "SQLITE:///x.db",
    "sqlite:///x.db?mode=ro", "sqlite:///file:x?mode=memory", "sqlite:///x\x00.db", "sqlite:///x\x1b.db",
    "sqlite:///~/mlflow.db", "http://host/\x00", "http://host/\u202ex", "http://host\t/x",
)  # fmt: skip
RIGHT = (
    "sqlite:///mlflow.db", "sqlite:////tmp/x/mlflow.db", "sqlite:///a b%2F#~/ü.db", "http://127.0.0.1:5000", "https://mlflow.example.com/sub/path",
    "http://[::1]:5000",
    "HTTP://Host:5000/", "http://host_1:5000",
)  # fmt: skip
SECRET = (
    "http://bob:SECRETPW@127.0.0.1:5077", "http://SECRETPW@host", "bob:SECRETPW@host:5000", "postgresql://u:SECRETPW@h/d",
    "https://h/?access_token=SECRETPW", "http://bob:SECRE/SECRETPW@host",
)  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert os.listdir(tmp_path) == [] or (tmp_path / "kept").exists(), "nothing is made for a wrong address"


@pytest.mark.parametrize("uri", WRONG)
def test_a_wrong_address_is_refused_with_key_and_cure(uri: str) -> None:
    with pytest.raises(RecipeError) as refused:
        absolute_uri(uri)
    message = str(refused.value)
    assert message.startswith(f"tracking.uri={uri}") and "\n" not in message
    assert "sqlite:///PATH" in message and "http(s)://HOST:PORT" in message


@pytest.mark.parametrize("uri", RIGHT)
def test_a_right_address_passes(uri: str) -> None:
    check_address(uri)


@pytest.mark.parametrize("uri", SECRET)
def test_a_password_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(RecipeError, match="tracking.uri=") as refused:
        check_address(uri)
    assert "SECRETPW" not in str(refused.value)


@pytest.mark.parametrize("kind", ["folder", "text", "below a file", "too long", "where nothing is written"])
def test_a_path_that_no_database_can_have_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("no database" * 100)
    (tmp_path / "folder").mkdir()
    uris = {"folder": "folder", "text": "kept", "below a file": "kept/mlflow.db", "too long": "x" * 300}
    uri = uris.get(kind, "/proc/mlflow.db")
    with pytest.raises(RecipeError, match=f"tracking.uri=sqlite:///{uri} can't be"):
        absolute_uri(f"sqlite:///{uri}")


@pytest.mark.parametrize("name", ["", "  ", "x" * 501, "a\nb", "\x1b[2J", "a\u202eb"])
def test_a_name_that_no_experiment_can_have_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(RecipeError, match="tracking.experiment="):
        check_tracking(TrackingConfig(uri="sqlite:///kept/mlflow.db", experiment=name))


def test_a_server_that_is_no_mlflow_or_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.tracking.answers.ANSWER_S", 0.1)
    with pytest.raises(RunError, match="tracking.uri=http://127.0.0.1:9 does not answer"):
        check_tracking(TrackingConfig(uri="http://127.0.0.1:9"))


def test_the_variable_is_named_where_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(RecipeError, match="MLFLOW_TRACKING_URI=./mlruns has no http://"):
        list_versions(tracking_uri=None)


IN_RECIPES = (
    ("tracking.uri", "http://bob:SECRETPW@h", "MLFLOW_TRACKING_PASSWORD"),
    ("tracking.artifacts", "s3://k:SECRETPW@bucket", "MLFLOW_TRACKING"),
    ("run_dir", "s3://KEY:SECRETPW@bucket/run", "AWS_SECRET_ACCESS_KEY"),
    ("data_root", "hf://SECRETPW@datasets/o/n@abc", "HF_TOKEN"),
    ("preprocess.sources.0.path", "s3://b/x.jsonl?X-Amz-Signature=SECRETPW", "AWS_SECRET_ACCESS_KEY"),
    ("preprocess.tokenizer", "https://u:SECRETPW@h/tok", "environment"),
    ("train.model", "s3://u:SECRETPW@b/model", "AWS_SECRET_ACCESS_KEY"),
    ("cluster.address", "ray://u:SECRETPW@h:10001", "environment"),
)


@pytest.mark.parametrize(("key", "value", "cure"), IN_RECIPES)
def test_a_secret_in_any_key_is_refused_with_the_variable(key: str, value: str, cure: str) -> None:
    recipe = Recipe(name="r", preprocess=PreprocessConfig(sources=[SourceConfig(name="p", path="p.jsonl")]))
    *sections, field = key.split(".")
    place: Any = recipe
    for section in sections:
        place = place[int(section)] if section.isdigit() else getattr(place, section)
    setattr(place, field, value)
    with pytest.raises(RecipeError) as refused:
        check_no_secrets(recipe, "recipe r.yaml")
    assert f"recipe r.yaml: {key}=" in str(refused.value) and cure in str(refused.value)
    assert "***" in str(refused.value) and "SECRETPW" not in str(refused.value)


def test_a_secret_in_a_recipe_file_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept").write_text("")
    Path("r.yaml").write_text("name: 'u:SECRETPW@h'\ntracking: {uri: 'http://${name}'}\n")
    assert cli.main(["runs", "r.yaml"]) == 2  # put together from two keys
    said = capsys.readouterr()
    assert "tracking.uri=http://***@h" in said.err and "SECRETPW" not in said.out + said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["data", "show", "s3://k:SECRETPW@b/shards"], ["compare", "a", "b", "tracking.uri=http://u:SECRETPW@h"],
     ["jobs", "list", "--address", "http://u:SECRETPW@h:8265"], ["models", "register", "s3://u:SECRETPW@b/m", "x"]],
)  # fmt: skip
def test_a_secret_in_any_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert "***" in said.err and "SECRETPW" not in said.out + said.err


def test_an_unexpected_error_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*args: object) -> str:
        raise ConnectionError("Could not connect to http://minio:SECRETPW@10.0.0.1:9000/")

    monkeypatch.setattr("jobs.recipe.load.load_recipe", broken)
    assert cli.main(["runs", "demo"]) == 1
    assert "http://***@10.0.0.1:9000/" in (said := capsys.readouterr().err) and "SECRETPW" not in said
