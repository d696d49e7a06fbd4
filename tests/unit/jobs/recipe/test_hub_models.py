"""Models by their id on the hub, read through a small server that answers like it: pinned, cached, offline."""

import hashlib
import json
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from huggingface_hub import constants
from loopback import serving

from data_pipeline.errors import MissingInput, Unavailable
from jobs.cli.main import main
from jobs.recipe.hub_models import HUB_MODELS, with_hub_models
from jobs.recipe.load import load_recipe
from rm_core.model_folder.hub import hub_name, snapshot
from rm_core.training.export import model_card

OLD, NEW = "a" * 40, "b" * 40


class Hub(BaseHTTPRequestHandler):
    """The parts of the hub's interface that a snapshot of a model needs; `newest` is what its main branch has."""

    protocol_version = "HTTP/1.1"
    newest = OLD
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.asked.append(path)
        api, files = "/api/models/org/judge/revision/", "/org/judge/resolve/"
        if path.startswith(api):
            commit = self.newest if path.removeprefix(api) == "main" else path.removeprefix(api)
            names = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"]
            answer = {"id": "org/judge", "sha": commit, "private": False, "gated": False, "tags": []}
            self.answer(200, json.dumps(answer | {"siblings": [{"rfilename": name} for name in names]}).encode())
        elif path.startswith("/api/models/org/judge/tree/"):
            names = ["config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx"]
            listed = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names]
            self.answer(200, json.dumps(listed).encode())
        elif path.startswith(files):
            commit, name = path.removeprefix(files).split("/", 1)
            data = f"{commit} {name}".encode()
            self.answer(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit})
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def answers_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    Hub.newest, Hub.asked = OLD, []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serving(Hub) as url:
        answers_at(url, monkeypatch)
        yield Hub


def asked(command: str, key: str, value: str, run_dir: str = "run") -> tuple[Any, list[str]]:
    """The recipe as the command gets it, and what was said."""
    Path("mine.yaml").write_text("name: mine\n")
    said: list[str] = []
    recipe = load_recipe("mine.yaml", [f"{key}={value}", f"run_dir={run_dir}"])
    return with_hub_models(command, recipe, report=said.append), said


def test_an_id_is_the_commit_that_the_run_read_first(hub: Any, tmp_path: Path) -> None:
    recipe, said = asked("train", "train.model", "org/judge")
    assert hub_name(recipe.train.model) == f"org/judge@{OLD}" and OLD in said[0]
    assert sorted(path.name for path in Path(recipe.train.model).iterdir()) == ["config.json", "model.safetensors"]
    assert recipe.train.model.startswith(str(tmp_path / "cache"))
    assert json.loads(Path("run", HUB_MODELS).read_text()) == {"org/judge": OLD}
    hub.newest = NEW
    for command, key in (("train", "train.model"), ("score", "score.model"), ("import-model", "import_model.source")):
        recipe, _ = asked(command, key, "org/judge")
        section, field = key.split(".")
        assert getattr(getattr(recipe, section), field).endswith(OLD), "the run has its commit"
    recipe, _ = asked("train", "train.model", "org/judge", run_dir="other")
    assert recipe.train.model.endswith(NEW)
    card = model_card(recipe.train, {}, {}, 1)
    assert f"`org/judge@{NEW}`" in card and str(tmp_path) not in card


def test_commands_read_the_model_of_an_id(hub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.yaml").write_text("name: mine\n")
    assert main(["import-model", "mine.yaml", "import_model.source=org/judge"]) == 1, "its weights are none"
    assert f"import_model.source=org/judge is the hub's model at commit {OLD}" in capsys.readouterr().out
    assert json.loads(Path("runs/mine", HUB_MODELS).read_text()) == {"org/judge": OLD}


def test_a_plan_takes_settings_alone_and_records_nothing(hub: Any) -> None:
    recipe, _ = asked("plan", "train.model", "org/judge")
    assert [path.name for path in Path(recipe.train.model).iterdir()] == ["config.json"]
    assert not Path("run").exists()
    hub.asked.clear()
    recipe = load_recipe("mine.yaml", ["train.model=org/judge", "plan.shape=7b"])
    assert with_hub_models("plan", recipe, report=print).train.model == "org/judge" and not hub.asked


def test_offline_only_the_cache_is_read(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked("train", "train.model", "org/judge")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    for run in ("run", "another"):
        recipe, _ = asked("train", "train.model", "org/judge", run_dir=run)
        assert recipe.train.model.endswith(OLD)
    with pytest.raises(MissingInput, match="holds no other/judge; HF_HUB_OFFLINE is set"):
        asked("train", "train.model", "other/judge")
    assert not hub.asked


def test_what_the_hub_does_not_have(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingInput, match="'other/judge' is no folder here, and the hub has no model"):
        asked("train", "train.model", "other/judge")
    answers_at("http://127.0.0.1:9", monkeypatch)
    began = time.monotonic()
    for commit in (None, OLD):
        with pytest.raises(MissingInput, match="holds nothing of that name, and the hub can't be reached"):
            snapshot("org/judge", commit)
    assert main(["train", "mine.yaml", "train.model=org/judge"]) == 2
    assert time.monotonic() - began < 20, "it is asked once, and not for 23 seconds"


def test_a_hub_that_went_away_is_asked_again_for_what_the_cache_has_in_part(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked("plan", "train.model", "org/judge")  # settings alone
    answers_at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(Unavailable, match="did not give org/judge"):
        asked("train", "train.model", "org/judge")


def test_a_folder_of_that_name_comes_first(hub: Any) -> None:
    asked("train", "train.model", "org/judge")
    hub.asked.clear()
    Path("org/judge").mkdir(parents=True)
    recipe, said = asked("train", "train.model", "org/judge")
    assert recipe.train.model == "org/judge" and "is the folder here, not the hub's model" in said[0]
    for place in (
        "org/missing",
        "models/judge",
        "runs/judge",
        "run/model",
        "runs/demo/train/export",
        "s3://bucket/org",
        "./org",
        "org",
    ):
        assert asked("train", "train.model", place)[0].train.model == place
    assert not hub.asked


def test_members_of_an_ensemble(hub: Any) -> None:
    members = [SimpleNamespace(model="org/judge"), SimpleNamespace(model="runs:/1")]
    recipe: Any = SimpleNamespace(ensemble=SimpleNamespace(members=members), run_dir="run")
    with_hub_models("ensemble", recipe, report=lambda _: None)
    assert members[0].model.endswith(OLD) and members[1].model == "runs:/1"
