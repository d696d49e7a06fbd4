"""`basereward fetch` to a real S3 server: whole objects alone, drafts on this machine, and no byte twice."""

from pathlib import Path

import pytest
from data_hub import DataHub
from huggingface_hub import constants
from s3_server import S3Server, s3_server

from data_pipeline import storage
from jobs.cli.main import main
from jobs.fetch import patience
from jobs.fetch.record import RECORD

__all__ = ["s3_server"]

RECIPE = """
preprocess:
  sources:
    - name: birds
      path: birds/a.parquet
      hub: {dataset: org/birds, folder: birds, files: [a.parquet], joined: {images.zip: "images.zip_*"}}
"""


def test_a_bucket_gets_whole_objects(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.01)
    Path("mine.yaml").write_text(RECIPE)
    files = {"a.parquet": b"a" * 50_000, "images.zip_aa": b"b" * 3000, "images.zip_ab": b"c" * 2000}
    root = f"s3://{s3_server.bucket}/fetched"
    hub = DataHub({"org/birds": files})
    with hub.serving() as address:
        command = ["fetch", "mine.yaml", f"data_root={root}", "fetch.scratch=drafts", f"fetch.address={address}"]
        hub.faults = {"images.zip_ab": ["cut:500", *["503"] * 9]}
        assert main([*command, "fetch.patience_s=0"]) == 1
        assert storage.list_files(f"{root}/birds/*") == [f"{root}/birds/a.parquet"]
        assert [path.stat().st_size for path in Path("drafts").glob("*/*")] == [3500]
        hub.faults.clear()
        assert main(command) == 0
        assert main(command) == 0, "all is there"
    assert storage.read_bytes(f"{root}/birds/images.zip") == b"b" * 3000 + b"c" * 2000
    assert storage.read_bytes(f"{root}/birds/a.parquet") == files["a.parquet"]
    assert storage.exists(f"{root}/{RECORD}") and not list(Path().glob("drafts/*"))
    assert [hub.bytes_of(path) for path in files] == [50_000, 3000, 2000]
    assert "nothing to fetch" in capsys.readouterr().out
