"""The names in an output folder; other programs and older folders rely on them."""

from pathlib import Path

import pytest

from data_pipeline.dataset import layout


@pytest.mark.parametrize("folder", ["out", "s3://bucket/out"])
def test_names(folder: str) -> None:
    assert layout.manifest_url(folder) == f"{folder}/manifest.json"
    assert layout.kept_manifest_url(folder, "a1") == f"{folder}/manifests/a1.json"
    assert layout.unit_url("b2", folder) == f"{folder}/units/b2.json"
    assert layout.rows_url("b2", folder) == f"{folder}/units/b2.rows.arrow"
    assert layout.failure_url("b2", folder) == f"{folder}/failed/b2.json"
    assert layout.log_url("b2", folder) == f"{folder}/logs/b2.log"
    assert (layout.rows_name("a1"), layout.quarantine_name("a1")) == ("rows.a1.arrow", "quarantine.a1.jsonl")
    shards = layout.shard_folder(folder)
    assert layout.shard_urls(shards, "b2-0") == (f"{folder}/shards/b2-0.arrow", f"{folder}/shards/b2-0.images.arrow")
    assert layout.unit_of_shard("b2-0") == "b2"


@pytest.mark.parametrize("place", ["out", "out/manifest.json", "out/manifests/a1.json"])
def test_the_folder_of_a_place(place: str) -> None:
    assert layout.folder_of(place) == "out"


@pytest.mark.parametrize("name", ["out", "lr[1]", "what?", "all*", "[!a]**"])
def test_what_is_there(tmp_path: Path, name: str) -> None:
    folder = str(tmp_path / name)
    assert (layout.kept_manifests(folder), layout.written_units(folder)) == ([], set())
    for url in (layout.kept_manifest_url(folder, "a1"), layout.unit_url("b2", folder), layout.rows_url("c3", folder)):
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        Path(url).write_bytes(b"")
    assert layout.kept_manifests(folder) == [layout.kept_manifest_url(folder, "a1")]
    assert layout.written_units(folder) == {"b2"}, "c3 has rows but is not done"
