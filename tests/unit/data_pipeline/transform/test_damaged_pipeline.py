"""The damaged corpus through the whole pipeline: every record accounted for, each for the reason it should have."""

import json
from collections import Counter
from pathlib import Path

import pytest
from damaged_corpus import EMPTY, READABLE, Expectation, stopping_sources, write_damaged_corpus

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.shards import read_table
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import UserError
from data_pipeline.pipeline import prepare

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning"),
]


def config_of(folder: Path, sources: list[SourceConfig], output: str) -> PreprocessConfig:
    return PreprocessConfig(
        sources=sources,
        data_root=str(folder / "corpus"),
        output=str(folder / output),
        tokenizer=str(folder / "model"),
        rows_per_unit=50,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus and a tokenizer."""
    path = tmp_path_factory.mktemp("damaged")
    train_tokenizer(["What is it? I cannot say."], 300, str(path / "model"))
    return path


@pytest.fixture(scope="module")
def expectations(folder: Path) -> list[Expectation]:
    return write_damaged_corpus(folder / "corpus")


@pytest.fixture(scope="module")
def manifest(folder: Path, expectations: list[Expectation]) -> Manifest:
    return prepare(config_of(folder, list(READABLE), "out"))


def quarantine(folder: Path, manifest: Manifest) -> list[dict[str, object]]:
    text = (folder / "out" / manifest.quarantine_file.name).read_text(encoding="utf8")
    return [json.loads(line) for line in text.splitlines()]


def test_each_record_is_kept_or_in_quarantine_for_its_reason(
    folder: Path, expectations: list[Expectation], manifest: Manifest
) -> None:
    refused = {(line["path"], line["row"]): line["reason"] for line in quarantine(folder, manifest)}
    records = [e for e in expectations if e.row >= 0]
    wrong = {
        e.case: (e.outcome, refused.get((e.path, e.row), "kept"))
        for e in records
        if refused.get((e.path, e.row), "kept") != e.outcome
    }
    assert wrong == {}
    assert set(refused) <= {(e.path, e.row) for e in records}


def test_counts_add_up_for_every_source(expectations: list[Expectation], manifest: Manifest) -> None:
    records = [e for e in expectations if e.row >= 0]
    counts = manifest.counts
    assert counts.seen == counts.kept + counts.refused == len(records)
    assert counts.kept == sum(e.outcome == "kept" for e in records)
    assert counts.refused_by_reason == Counter(e.outcome for e in records if e.outcome != "kept")
    for source in READABLE:
        own = [e for e in records if e.source == source.name]
        found = counts.by_source[source.name]
        assert (found.seen, found.kept) == (len(own), sum(e.outcome == "kept" for e in own))
        assert found.refused_by_reason == Counter(e.outcome for e in own if e.outcome != "kept")


def test_every_file_is_accounted_for(expectations: list[Expectation], manifest: Manifest) -> None:
    read = {info.path: info.rows for info in manifest.inputs}
    for e in expectations:
        if e.row >= 0:
            assert e.row < read[e.path]
        elif e.outcome == EMPTY:
            assert (read.get(e.path, 0), manifest.counts.by_source[e.source].seen) == (0, 0)


def test_every_line_of_the_quarantine_says_what_and_where(folder: Path, manifest: Manifest) -> None:
    lines = quarantine(folder, manifest)
    assert len(lines) == manifest.counts.refused
    for line in lines:
        assert line["detail"] and len(str(line["detail"])) <= 600
        assert isinstance(line["row"], int) and (folder / "corpus" / str(line["path"])).is_file()


def test_nothing_from_outside_the_media_roots_is_in_a_shard(folder: Path, manifest: Manifest) -> None:
    tables = [read_table(str(path)) for path in (folder / "out" / "shards").glob("*.images.arrow")]
    stored = {key for table in tables for key in table.column("sha256").to_pylist()}
    assert len(tables) == len(manifest.shards)
    assert storage.sha256_of(str(folder / "corpus" / "pictures" / "own.png")) in stored
    assert storage.sha256_of(str(folder / "corpus" / "secret.png")) not in stored


def test_a_file_broken_as_a_whole_stops_before_any_work(folder: Path, expectations: list[Expectation]) -> None:
    sources = stopping_sources(expectations)
    assert len(sources) >= 10
    for number, source in enumerate(sources):
        output = f"stopped{number}"
        with pytest.raises(UserError, match=Path(source.path).parts[1]):
            prepare(config_of(folder, [source], output))
        assert not list((folder / output).rglob("*.arrow"))
