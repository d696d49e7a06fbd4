"""What `basereward serve` checks before anything starts, how it names models, and its config file."""

import asyncio
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from served_models import ServedModels
from served_toys import write_export

from data_pipeline.errors import MissingInput, RecipeError, RunError
from jobs.cli.main import main
from jobs.recipe.load import load_recipe
from jobs.serve.applications import config_file
from jobs.serve.command import running
from jobs.serve.deployment import build, token_sha256
from jobs.serve.models import FoundModel, find_model, load_model, may_move
from jobs.serve.watching import AliasWatch
from rm_core.serving.config import ServeConfig
from rm_core.serving.service import LoadedModel, RewardService

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ServedModels:
    return ServedModels(tmp_path_factory.mktemp("serving"))


def test_there_is_a_token_or_nobody_else_reaches_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASEREWARD_SERVE_TOKEN", raising=False)
    with pytest.raises(RecipeError, match="BASEREWARD_SERVE_TOKEN is not set.*openssl rand"):
        token_sha256(ServeConfig())
    monkeypatch.setenv("MINE", "short")
    with pytest.raises(RecipeError, match="MINE has 5 characters"):
        token_sha256(ServeConfig(token_variable="MINE"))
    monkeypatch.setenv("MINE", TOKEN)
    hashed = token_sha256(ServeConfig(token_variable="MINE"))
    assert hashed is not None and len(hashed) == 64 and TOKEN not in hashed
    assert token_sha256(ServeConfig(token_variable=None)) is None
    with pytest.raises(RecipeError, match="token_variable=null with serve.host=0.0.0.0"):
        token_sha256(ServeConfig(token_variable=None, host="0.0.0.0"))


def test_a_port_that_is_taken_and_a_model_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("BASEREWARD_SERVE_TOKEN", TOKEN)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "no/such/folder", f"serve.port={port}"]) == 2
        assert f"serve.port={port}: Address already in use; give another port" in capsys.readouterr().err
    for words, said in (
        (["serve", "no/such/folder", f"serve.port={port}"], "no/such/folder"),
        (["serve", "models:/m@champion", f"serve.port={port}"], "say which MLflow store has the models"),
        (["serve", "demo", "serve.models={'a/b': x}"], "is no name"),
        (["serve"], "serve needs a recipe"),
        (["serve", "demo", "serve.port=0"], "from 1 to 65535"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.db"))


def test_a_model_stands_in_the_place_of_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    seen: list[Any] = []
    monkeypatch.setattr("jobs.serve.command.run", seen.append)
    assert main(["serve", "models:/m@champion", "serve.replicas=2"]) == 0
    assert main(["serve", "demo"]) == 0
    assert main(["serve", "models:/m/1", "tracking.uri=sqlite:///mine.db", "--address", "h:1"]) == 0
    found = [(one.name, one.serve.model, one.tracking.uri) for one in seen]
    assert found == [
        ("unnamed", "models:/m@champion", "sqlite:///elsewhere.db"),
        ("demo", "runs/demo/train/export", "sqlite:///runs/demo/mlflow.db"),
        ("unnamed", "models:/m/1", "sqlite:///mine.db"),
    ]
    assert seen[0].serve.replicas == 2 and seen[2].cluster.address == "h:1"


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jobs.serve.entry.find_spec", lambda name: None if name == "fastapi" else name)
    assert main(["serve", "demo"]) == 2
    assert "needs fastapi: pip install 'basereward[serve]'" in capsys.readouterr().err


def test_the_config_file_has_no_token_and_builds_the_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASEREWARD_SERVE_TOKEN", TOKEN)
    settings = ["serve.model=models:/m@champion", "serve.models={second: 's3://b/m'}", "serve.max_replicas=8"]
    recipe = load_recipe(None, [*settings, "tracking.uri=http://mlflow:5000"])
    made = config_file(recipe, gpus=1.0)
    assert [(one["name"], one["route_prefix"]) for one in made["applications"]] == [
        ("rewards", "/"), ("second", "/models/second"),
    ]  # fmt: skip
    assert made["http_options"]["host"] == "0.0.0.0" and TOKEN not in str(made)
    application = build(made["applications"][1]["args"])
    deployment = application._bound_deployment
    assert deployment._deployment_config.autoscaling_config.max_replicas == 8
    assert deployment.ray_actor_options["num_gpus"] == 1.0
    assert TOKEN not in str(deployment.init_args)
    for words, said in (
        (["serve.model=/here"], "serve.model=/here: a pod does not have that folder"),
        (["tracking.uri=sqlite:///here.db"], "a pod does not reach that store"),
        (["serve.token_variable=null"], "requests need a token"),
    ):
        with pytest.raises(RecipeError, match=said):
            config_file(load_recipe(None, [*settings, *words]), gpus=1.0)


def test_a_model_says_how_it_reads_or_the_recipe_does(models: ServedModels, capsys: pytest.CaptureFixture[str]) -> None:
    found = find_model(models.sees, None, {})
    assert found.served.members[0].reading == models.reading
    silent = models.folder / "silent"
    write_export(silent, "tiny", 3, models.folder / "tokens")
    found = find_model(str(silent), None, asdict(replace(models.reading, max_tokens=77, tokenizer="")))
    assert found.served.members[0].reading.max_tokens == 77
    assert "reads as the recipe's preprocess section says" in capsys.readouterr().out
    with pytest.raises(MissingInput):
        find_model(str(models.folder / "none"), None, {})


def test_addresses_that_may_move() -> None:
    assert may_move("models:/m@champion") and not may_move("models:/m/3") and not may_move("a@b/c")


def test_an_alias_that_moves_is_followed_and_one_that_fails_is_told(models: ServedModels) -> None:
    config = ServeConfig()
    first, other = find_model(models.sees, None, {}), find_model(models.export("next", 9), None, {})
    points_to: list[FoundModel | Exception] = [first]

    def address() -> str:
        if isinstance(points_to[0], Exception):
            raise points_to[0]
        return points_to[0].address

    def find() -> FoundModel:
        assert isinstance(points_to[0], FoundModel)
        finds.append(points_to[0].address)
        return points_to[0]

    finds: list[str] = []
    loads: list[str] = []

    def load(found: FoundModel) -> LoadedModel:
        loads.append(found.address)
        return load_model(found, config)

    async def watch() -> None:
        service = RewardService(load(first), config)
        watching = AliasWatch(service, "models:/m@champion", address=address, find=find, load=load, every_s=1)
        await watching.look()
        assert loads == [first.address] and not finds, "its files are read only where it means another one"
        points_to[0] = other
        await watching.look()
        assert service.address == other.address and finds == [other.address]
        points_to[0] = RunError("the store is away")
        await watching.look()
        assert service.address == other.address and "the store is away" in watching.status()["update_error"]
        points_to[0] = other
        await watching.look()
        assert watching.status() == {"asked_for": "models:/m@champion", "update_error": None}
        answer = await service.score({"prompt": "What is it?", "responses": ["A bus."]})
        assert answer.model == other.address
        await service.close()

    asyncio.run(watch())


def test_without_a_token_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BASEREWARD_SERVE_TOKEN", raising=False)
    with pytest.raises(RecipeError, match="is not set"), running(load_recipe("demo")):
        pass
