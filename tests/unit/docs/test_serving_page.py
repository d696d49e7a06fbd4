"""docs/serving.md against the code: its programs run against a server, its recipe loads, its keys and routes exist."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from serve_lab import Lab, answering
from served_models import ServedModels

from jobs.recipe.load import load_recipe
from jobs.serve import metrics
from rm_core.serving.config import ServeConfig

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
TOKEN = "a token of this page"
CONFIG = ServeConfig()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ServedModels:
    return ServedModels(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def lab(models: ServedModels) -> Iterator[Lab]:
    with answering(lambda: models.load(CONFIG), CONFIG, TOKEN) as found:
        yield found


def blocks(kind: str) -> list[str]:
    return [text for found, _, text in BLOCKS if found == kind]


def test_the_programs_run(
    lab: Lab, models: ServedModels, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(models.folder)
    monkeypatch.setenv("BASEREWARD_SERVE_TOKEN", TOKEN)
    for text in blocks("python"):
        exec(text.replace("http://127.0.0.1:8000", lab.url), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 and printed[0].endswith(models.sees)
    assert printed[2] == printed[3], "a text is a user's turn"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_curl_gets_an_answer(lab: Lab, models: ServedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BASEREWARD_SERVE_TOKEN", TOKEN)
    commands = [text for text in blocks("sh") if text.startswith("curl")]
    assert len(commands) == 2, "a text, and an image as a file"
    [shown] = blocks("json")
    keys = re.compile(r'"(\w+)":')
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command.replace("http://127.0.0.1:8000", lab.url)],
            cwd=models.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert '"rewards":[' in done.stdout
        assert keys.findall(done.stdout) == keys.findall(shown)


def test_the_recipe_loads(tmp_path: Path) -> None:
    [(name, text)] = [(name, text) for kind, name, text in BLOCKS if kind == "yaml"]
    (tmp_path / name).write_text(text)
    recipe = load_recipe(str(tmp_path / name))
    assert recipe.serve.max_replicas == 8 and sorted(recipe.serve.models) == ["candidate", "words"]


def test_every_key_route_and_metric_is_explained(lab: Lab) -> None:
    assert [one.name for one in fields(ServeConfig) if not re.search(rf"\b{one.name}\b", PAGE)] == []
    for path in lab.get("/openapi.json").json()["paths"]:
        assert path == "/v1/models" or f"`{path}`" in PAGE, path
    assert [name for name in metrics._COUNTERS if f"ray_basereward_{name}_total" not in PAGE] == []
