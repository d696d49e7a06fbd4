"""docs/fetch.md against the code: its commands run on its recipe, in order, and every key is on a page."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from data_hub import DataHub
from huggingface_hub import constants

from data_pipeline.config import HubConfig
from jobs.cli.main import main
from jobs.recipe.schema import FetchConfig

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "fetch.md").read_text(encoding="utf-8")
[RECIPE] = re.findall(r"^```yaml mine\.yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
[COMMANDS] = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_hub")
    Path("mine.yaml").write_text(RECIPE, encoding="utf-8")
    [commit] = re.findall(r"revision: ([0-9a-f]{40})", RECIPE)
    birds = {"data/a.parquet": b"a" * 2000, "images.zip_aa": b"b", "images.zip_ab": b"c", "README.md": b"Birds."}
    hub = DataHub({"org/birds": birds}, licences={"org/birds": "mit"}, revisions={"org/birds": commit})
    with hub.serving() as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)  # as HF_ENDPOINT does when it is set before the start
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        for command in COMMANDS.splitlines():
            program, *arguments = command.partition("#")[0].split()
            assert program == "basereward" and main(arguments) == 0, capsys.readouterr()
    found = sorted(str(path.relative_to("data")) for path in Path("data").rglob("*") if path.is_file())
    assert found == ["birds/data/a.parquet", "birds/images.zip", "fetched.json"]
    assert Path("data/birds/images.zip").read_bytes() == b"bc"
    said = capsys.readouterr().out
    assert "org/birds" in said and "mit" in said and "http://songs.example/songs.zip to birds/songs.zip" in said
    assert ("hub", "Bearer hf_of_the_hub") in hub.tokens
    assert {token for role, token in hub.tokens if role == "cdn"} == {""}


def test_every_key_is_explained() -> None:
    names = {f"fetch.{field.name}" for field in fields(FetchConfig)} | {field.name for field in fields(HubConfig)}
    assert [name for name in sorted(names) if name not in PAGE] == []
