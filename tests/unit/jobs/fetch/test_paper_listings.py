"""The recipes of the paper against the hub: every path against recorded listings, and toys in the published layouts.

`hub_listings.json` says of each listing which page showed it, and of what no page was found.
"""

import io
import json
import shutil
import tarfile
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from damaged_images import encoded, noise
from data_hub import DataHub
from huggingface_hub import constants

from data_pipeline import storage
from data_pipeline.config import HubConfig, MediaConfig, SourceConfig
from data_pipeline.media.reading import read_media
from data_pipeline.sources.inputs import comparisons_of, files_of, inputs_of
from jobs.cli.main import main
from jobs.fetch.wanted import HubFile, Repository, wanted_sets
from jobs.recipe.load import load_recipe, packaged_recipes

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("hub_listings.json").read_text(encoding="utf-8"))
LISTINGS: dict[str, dict[str, Any]] = RECORDED["listings"]
MIXTURE = load_recipe("paper/mixture").preprocess
SOURCES = [*MIXTURE.sources, *MIXTURE.decontaminate.against]
OF_HUB = [source for source in SOURCES if source.hub is not None]
PNG = encoded(noise())


def hub_of(source: SourceConfig) -> HubConfig:
    assert source.hub is not None
    return source.hub


def is_seen(pattern: str, dataset: str) -> bool:
    """Whether the pages show the files that `pattern` names, and not the name of their folder alone."""
    return dataset in LISTINGS and pattern.split("/")[0] not in LISTINGS[dataset].get("folders", ())


def test_every_set_is_recorded_or_said_to_be_unknown() -> None:
    named = {hub_of(source).dataset for source in OF_HUB}
    unknown = set(RECORDED["unknown"])
    assert named == (set(LISTINGS) | unknown) - {"ChrisDing1105/MMIF-23k"} and not set(LISTINGS) & unknown
    assert {source.name for source in SOURCES if source.by_hand} >= {one.name for one in SOURCES if one.hub is None}
    pages = Path(__file__).parents[4].joinpath("docs", "recipes.md").read_text(encoding="utf-8")
    unsure = [name for name in named if any(not is_seen(one, name) for one in patterns_of(name))]
    assert [name for name in [*unknown, *unsure] if name not in pages] == [], "docs/recipes.md says which are not known"


def patterns_of(dataset: str) -> list[str]:
    hubs = [hub_of(source) for source in OF_HUB if hub_of(source).dataset == dataset]
    return [pattern for hub in hubs for pattern in (*hub.files, *hub.joined.values())]


@pytest.mark.parametrize("source", OF_HUB, ids=lambda source: source.name)
def test_a_source_finds_what_the_hub_lists(source: SourceConfig, tmp_path: Path) -> None:
    hub = hub_of(source)
    listing = LISTINGS.get(hub.dataset)
    for pattern in (*hub.files, *hub.joined.values()):
        if not is_seen(pattern, hub.dataset):
            assert listing is None or "note" in listing, "what is not seen is said"
            continue
    seen = [pattern for pattern in hub.files if is_seen(pattern, hub.dataset)]
    if listing is None or (not seen and not hub.joined):
        return
    assert hub.revision in (None, listing["commit"])
    listed = tuple(HubFile(path, size or 0, "sha256:0") for path, size in listing["files"].items())
    repository = Repository(dataset=hub.dataset, commit=listing["commit"], licence="", files=listed)
    known = SourceConfig(**{**vars(source), "hub": HubConfig(**{**vars(hub), "files": seen})})
    [wanted] = wanted_sets([known], {(hub.dataset, hub.revision): repository})
    for file in wanted.files:
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).touch()
    assert files_of(source, str(tmp_path)), "the recipe's path names what is fetched"
    root = source.media_root or ""
    if root.startswith(hub.folder) and any(f"{end}" in root for end in (".tar", ".zip")):
        assert (tmp_path / root).exists()


@pytest.mark.parametrize("name", [one for one in packaged_recipes() if one.startswith("paper/")])
def test_all_recipes_of_the_paper_have_these_sources(name: str) -> None:
    text = files("jobs.recipe").joinpath("packaged", f"{name}.yaml").read_text(encoding="utf-8")
    said = yaml.safe_load(text)
    if name not in ("paper/mixture", "paper/rl/hybrid"):
        assert said["base"].startswith("paper/")
        own = said.get("preprocess", {})
        assert not {"decontaminate", "data_root"} & own.keys()
        mixture = load_recipe("paper/mixture").preprocess.sources
        assert all(source in mixture for source in load_recipe(name).preprocess.sources)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path


def test_a_dry_run_of_the_mixture(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every source is found, and the bytes that pages show are summed; what no page shows is one empty file here."""
    sets: dict[str, dict[str, bytes]] = {}
    for source in OF_HUB:
        hub = hub_of(source)
        found = sets.setdefault(hub.dataset, dict.fromkeys(LISTINGS.get(hub.dataset, {"files": ()})["files"], b"x"))
        for pattern in hub.files:
            if not is_seen(pattern, hub.dataset):
                found[pattern.replace("**/", "data/").replace("*", "unseen")] = b""
    licences = {name: one["licence"] for name, one in LISTINGS.items() if one["licence"]}
    pinned = {hub_of(source).dataset: hub_of(source).revision or "0" * 40 for source in OF_HUB}
    served = DataHub(sets, licences=licences, revisions=pinned)
    served.sizes = {
        f"{name}/{path}": size for name, one in LISTINGS.items() for path, size in one["files"].items() if size
    }
    with served.serving() as address:
        assert main(["fetch", "paper/mixture", "data_root=data", f"fetch.address={address}", "--dry-run"]) == 0
    said = capsys.readouterr().out
    used = [source for source in OF_HUB if source.name in MIXTURE.mixture.only or source not in MIXTURE.sources]
    assert all(source.name in said for source in used)
    assert "shp" not in said and "omni_align" not in said, "only what the mixture uses"
    assert f"{sum(seen_sizes(used)):,} bytes in all" in said
    assert "cc-by-nc-4.0" in said and "COCO, 13 GB" in said and "all_data.json and images/" in said


def seen_sizes(used: list[SourceConfig]) -> list[int]:
    found: dict[tuple[str, str], int] = {}
    for source in used:
        dataset = hub_of(source).dataset
        for pattern in patterns_of(dataset):
            if is_seen(pattern, dataset):
                listed = tuple(HubFile(path, size or 0, "") for path, size in LISTINGS[dataset]["files"].items())
                repository = Repository(dataset=dataset, commit="", licence="", files=listed)
                hub = HubConfig(dataset=dataset, folder="x", files=[pattern])
                [wanted] = wanted_sets([SourceConfig(name="x", path="x", hub=hub)], {(dataset, None): repository})
                found |= {(dataset, file.path): file.size for file in wanted.files}
    return list(found.values())


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            for path, data in files.items():
                archive.writestr(path, data)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, data in files.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def as_published() -> dict[str, dict[str, bytes]]:
    """Toys: two records of each set, packed as the set is."""
    pair = {"chosen": "A wren.", "rejected": "A trout."}
    images = packed("zip", {"images/birds/1.png": PNG, "images/birds/2.png": PNG})
    index = {"birds": {"root": "MMPR-v1.2/images/birds", "annotation": "MMPR-v1.2/annotations/birds.jsonl"}}
    mmpr = lines(*({"image": f"{one}.png", "question": "<image>\nWhat?", **pair} for one in (1, 2)))
    forum = {"post_id": "q", "history": "Which?", "human_ref_A": "This.", "human_ref_B": "That.", "labels": 1}
    return {
        "OpenGVLab/MMPR-v1.2": {
            "meta.json": json.dumps(index).encode(),
            "annotations.zip": packed("zip", {"annotations/birds.jsonl": mmpr}),
            "images.zip_aa": images[:2000],
            "images.zip_ab": images[2000:],
        },
        "yifanzhang114/MM-RLHF": {
            "dpo_pairs.jsonl": lines(
                {"prompt": "What?", "image": "short/1.png", **pair}, {"prompt": "What?", "video": "video/a", **pair}
            ),
            "short.zip": packed("zip", {"short/1.png": PNG}),
            "video.zip": packed("zip", {"video/a/1.png": PNG, "video/a/2.png": PNG}),
        },
        "PhoenixZ/OmniAlign-V-DPO": {
            "chart.jsonl": lines({"prompt": "What?", "image": "images/1.png", **pair}),
            "poster.jsonl": lines({"question": "What?", "image": "images/1.png", **pair}),
            "images.tar": packed("tar", {"images/1.png": PNG}),
        },
        "stanfordnlp/SHP": {"askbaking/train.json": lines(forum, forum), "askbaking/test.json": b"{}\n"},
    }


def test_sets_are_read_as_they_are_published(workplace: Path) -> None:
    names = ["mmpr", "r1_mm_rlhf", "omni_align", "shp"]
    with DataHub(as_published()).serving() as address:
        command = ["fetch", "paper/mixture", "data_root=data", f"fetch.address={address}"]
        only = f"preprocess.mixture.only=[{','.join(names)}]"
        assert main([*command, only, "preprocess.decontaminate.against=[]"]) == 0
    assert not list(Path("data").rglob("test.json")), "only what the recipe names"
    for source in (one for one in MIXTURE.sources if one.name in names):
        made = list(comparisons_of(source, "data"))
        assert len(made) == 2, source.name
        for comparison in made:
            for ref in comparison.media:
                if not ref.is_video:
                    assert read_media(ref, media_root(source), MediaConfig(missing="fail")) == PNG
                else:
                    assert len(storage.list_files(storage.url_below(str(ref.path), media_root(source)))) == 2
    shutil.rmtree("data")


def media_root(source: SourceConfig) -> str:
    if source.media_root is not None:
        return storage.join("data", source.media_root)
    [first, *_] = inputs_of(source, "data")
    return first.media_root or storage.parent_of(first.url)
