"""`basereward fetch` from an imitation of the hub that cuts, refuses, slows down and changes: whole or refused, and no
byte twice."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from data_hub import DataHub, commit_of
from huggingface_hub import constants

from data_pipeline import storage
from jobs.cli.main import main
from jobs.fetch import patience
from jobs.fetch.record import RECORD

BIRDS, PARTS = "org/birds", "org/parts"
LARGE, SMALL = Random(0).randbytes(300_000), b'{"n": 0}\n'
WHOLE = [Random(1).randbytes(5_000), Random(2).randbytes(4_000)]
RECIPE = f"""
data_root: data
preprocess:
  sources:
    - name: birds
      path: birds/data/*.parquet
      hub: {{dataset: {BIRDS}, folder: birds, files: [data/*.parquet, index.json]}}
      by_hand: its songs are at http://songs.example
    - name: again
      path: birds/data/*.parquet
      hub: {{dataset: {BIRDS}, folder: birds, files: ["data/*.parquet"]}}
    - name: parts
      path: parts/images.zip
      hub: {{dataset: {PARTS}, folder: parts, joined: {{images.zip: "images.zip_*"}}}}
    - {{name: mine, path: mine.jsonl}}
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataHub]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(patience, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    found = DataHub(
        {
            BIRDS: {"data/a.parquet": LARGE, "index.json": SMALL, "README.md": b"Birds."},
            PARTS: {"images.zip_aa": WHOLE[0], "images.zip_ab": WHOLE[1]},
        },
        licences={BIRDS: "cc-by-4.0"},
    )
    Path("mine.yaml").write_text(RECIPE)
    with found.serving() as address:
        found.address = address  # type: ignore[attr-defined]
        yield found


def fetch(hub: Any, *more: str) -> int:
    return main(["fetch", "mine.yaml", f"fetch.address={hub.address}", "fetch.patience_s=2", *more])


def test_a_recipe_is_fetched_and_then_there(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(hub, "--dry-run") == 0
    said = capsys.readouterr().out
    size = len(LARGE) + len(SMALL) + 9_000
    assert f"{size:,} bytes in all" in said and "birds, again" in said and "cc-by-4.0" in said and "none stated" in said
    assert "by hand, for birds: its songs are at http://songs.example" in said
    assert not hub.sent and not Path("data").exists() and "traffic costs" not in said
    assert fetch(hub, "--dry-run", "fetch.price_gb=90") == 0
    assert f"their traffic costs ${size * 90 / 1e9:,.2f} at fetch.price_gb=90" in capsys.readouterr().out
    assert fetch(hub) == 0
    assert Path("data/birds/data/a.parquet").read_bytes() == LARGE
    assert Path("data/birds/index.json").read_bytes() == SMALL
    assert Path("data/parts/images.zip").read_bytes() == b"".join(WHOLE)
    assert sorted(path.name for path in Path("data").iterdir()) == ["birds", RECORD, "parts"]
    record = json.loads(Path("data", RECORD).read_text())
    assert record["sets"][BIRDS] == {"commit": commit_of(BIRDS), "licence": "cc-by-4.0"}
    assert record["files"]["birds/data/a.parquet"]["digests"] == [f"sha256:{hashlib.sha256(LARGE).hexdigest()}"]
    hub.sent.clear()
    assert fetch(hub) == 0 and not hub.sent, "nothing comes twice"


def test_the_record_is_not_written_for_each_small_file(hub: DataHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names all files: a set of ten thousand pictures would write it ten thousand times."""
    pictures = {f"data/{number}.json": b"{}" for number in range(40)}
    hub.sets[BIRDS][commit_of(BIRDS)] |= pictures
    written: list[str] = []
    write = storage.write_atomic

    def counted(url: str, data: bytes) -> None:
        written.append(url)
        write(url, data)

    monkeypatch.setattr(storage, "write_atomic", counted)
    monkeypatch.setattr("jobs.fetch.record._LEAST_S", 1000.0)
    Path("mine.yaml").write_text(RECIPE.replace("data/*.parquet, index.json", "data/*"))
    assert fetch(hub) == 0
    record = json.loads(Path("data", RECORD).read_text())
    assert {f"birds/{name}" for name in pictures} <= record["files"].keys()
    assert len([url for url in written if url.endswith(RECORD)]) <= 4


def test_a_cut_connection_goes_on_without_a_byte_twice(hub: DataHub) -> None:
    hub.faults = {
        "data/a.parquet": ["cut:1000", "cut:0", "500", "429:0", "cut:150000", "503"],
        "images.zip_aa": ["cut:4999"],
        "images.zip_ab": ["cut:1", "cut:3998"],
    }
    assert fetch(hub) == 0
    assert Path("data/birds/data/a.parquet").read_bytes() == LARGE
    assert Path("data/parts/images.zip").read_bytes() == b"".join(WHOLE)
    for path, data in (("data/a.parquet", LARGE), ("images.zip_aa", WHOLE[0]), ("images.zip_ab", WHOLE[1])):
        assert hub.bytes_of(path) == len(data), path


def test_the_next_run_goes_on_where_one_ended(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults = {"data/a.parquet": ["cut:200000", *["503"] * 20], "images.zip_ab": ["cut:7", *["503"] * 20]}
    assert fetch(hub, "fetch.patience_s=0") == 1
    err = capsys.readouterr().err
    assert "2 of 3 files were not fetched" in err and "the same command goes on" in err
    assert Path("data/birds/index.json").read_bytes() == SMALL and not Path("data/birds/data/a.parquet").exists()
    hub.faults.clear()
    assert fetch(hub) == 0
    assert Path("data/parts/images.zip").read_bytes() == b"".join(WHOLE)
    assert hub.bytes_of("data/a.parquet") == len(LARGE)
    assert [hub.bytes_of(path) for path in ("images.zip_aa", "images.zip_ab")] == [5_000, 4_000]


def test_a_file_that_changes_is_refused_and_asked_for_again(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults = {"data/a.parquet": ["cut:1000"]}
    hub.swapped = {"data/a.parquet": LARGE[:1000] + b"x" + LARGE[1001:], "images.zip_ab": WHOLE[1] + b"more"}
    assert fetch(hub) == 1
    err = capsys.readouterr().err
    assert "a.parquet is not what the hub lists" in err and "its checksum is" in err
    assert "images.zip_ab is not what the hub lists" in err and "it has 4004 bytes now" in err
    assert not Path("data/birds/data/a.parquet").exists() and not Path("data/parts").exists()
    hub.swapped.clear()
    hub.sent.clear()
    assert fetch(hub) == 0
    assert Path("data/birds/data/a.parquet").read_bytes() == LARGE
    assert hub.bytes_of("images.zip_aa") == 0, "the part that was right is kept"


def test_a_mirror_without_ranges_begins_anew_and_says_so(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults = {"data/a.parquet": ["cut:1000", "whole"]}
    assert fetch(hub) == 0
    assert "gives no ranges, so it begins anew" in capsys.readouterr().out
    assert Path("data/birds/data/a.parquet").read_bytes() == LARGE


def test_waits_as_long_as_the_hub_asks(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults = {"index.json": ["429:1"]}
    hub.listing_faults = {BIRDS: [500, 429]}
    assert fetch(hub) == 0
    assert "index.json: HTTP 429; the hub asks for 1 s of patience" in capsys.readouterr().out
    hub.faults = {"index.json": ["429:3600"]}
    Path("data/birds/index.json").unlink()
    assert fetch(hub) == 1
    assert "nothing came for 0 s, the hub asks for 3600 s more, and fetch.patience_s is 2" in capsys.readouterr().err


def test_so_many_at_once_and_files_without_bytes(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.commit(BIRDS, {f"data/{number}.parquet": b"x" * number for number in range(6)})
    hub.slow_s = 0.05
    assert fetch(hub, "fetch.parallel=3", "preprocess.sources.0.hub.files=['data/*']") == 0
    assert hub.most_at_once == 3
    assert "3 files at once, at most fetch.parallel: one machine fetches" in capsys.readouterr().out
    assert [Path(f"data/birds/data/{number}.parquet").stat().st_size for number in range(6)] == [*range(6)]


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_not_for_this_token_is_refused(hub: DataHub, capsys: pytest.CaptureFixture[str], status: int) -> None:
    hub.listing_faults = {BIRDS: [status]}
    assert fetch(hub) == 2
    assert f"gives {BIRDS} only to those who may read it: accept its terms" in capsys.readouterr().err
    assert not hub.sent and not Path("data", RECORD).exists()
    hub.faults = {"data/a.parquet": [str(status)]}
    assert fetch(hub) == 2
    assert f"data/a.parquet: HTTP {status}; accept the data set's terms" in capsys.readouterr().err
    assert Path("data/parts/images.zip").exists(), "the others came"


def test_the_token_goes_to_the_hub_alone(
    hub: DataHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_hub")
    assert fetch(hub, "--dry-run") == 0
    assert {token for _, token in hub.tokens} == {""}, "a mirror gets none unless the recipe says so"
    monkeypatch.setenv("HF_MIRROR_TOKEN", "hf_of_the_mirror")
    assert fetch(hub, "fetch.token_variable=HF_MIRROR_TOKEN") == 0
    seen = {role: {token for one, token in hub.tokens if one == role} for role in ("hub", "cdn")}
    assert seen == {"hub": {"", "Bearer hf_of_the_mirror"}, "cdn": {""}}
    printed = capsys.readouterr()
    kept = "".join(path.read_text(errors="replace") for path in Path("data").rglob("*.json"))
    assert "hf_of" not in printed.out + printed.err + kept
    assert fetch(hub, "fetch.token_variable=hf_pasted") == 2
    assert "hf_pasted" not in (err := capsys.readouterr().err) and "never the token itself" in err
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of_a_bucket")
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        hub.tokens.clear()
        assert fetch(hub, f"fetch.token_variable={name}") == 2 and not hub.tokens, "a stranger's recipe and address"
    assert "put that address's token into a variable of its own" in capsys.readouterr().err
    assert fetch(hub, "fetch.token_variable=HF_NOT_SET") == 2
    assert "HF_NOT_SET: that variable is not set here" in capsys.readouterr().err


def test_a_commit_stays_the_one_that_was_fetched_first(hub: DataHub) -> None:
    assert fetch(hub) == 0
    newer = hub.commit(BIRDS, {"data/a.parquet": LARGE[::-1], "index.json": SMALL})
    hub.sent.clear()
    assert fetch(hub) == 0 and not hub.sent
    assert fetch(hub, f"preprocess.sources.0.hub.revision={newer}", f"preprocess.sources.1.hub.revision={newer}") == 0
    assert Path("data/birds/data/a.parquet").read_bytes() == LARGE[::-1]
    assert {one.path for one in hub.sent} == {"data/a.parquet"}
    assert json.loads(Path("data", RECORD).read_text())["sets"][BIRDS]["commit"] == newer


def test_files_put_there_by_hand(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    for path, data in (("birds/data/a.parquet", LARGE), ("parts/images.zip", b"".join(WHOLE))):
        Path("data", path).parent.mkdir(parents=True)
        Path("data", path).write_bytes(data)
    assert fetch(hub) == 0
    assert {one.path for one in hub.sent} == {"index.json"}, "the same bytes are taken as they are"
    Path("data", RECORD).unlink()
    Path("data/parts/images.zip").write_bytes(b"".join(WHOLE)[:-1] + b"!")
    assert fetch(hub) == 2
    assert "did not come from the hub, and differs from parts/images.zip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("preprocess.sources.0.hub.files=[data/*.json]", "wants 'data/*.json' of org/birds, which at commit"),
        ("preprocess.sources.0.hub.dataset=org/none", "has no data set org/none"),
        ("preprocess.sources.0.hub.dataset=birds", "is no id of a data set: write ORG/NAME"),
        ("preprocess.sources.0.hub.revision=main", "is no commit: write its 40 hex digits"),
        (f"preprocess.sources.0.hub.revision={'f' * 40}", "or not that commit of it"),
        ("preprocess.sources.0.hub.folder=../birds", "'../birds' is no plain path below data_root"),
        ("preprocess.sources.0.hub.files=[]", "wants no file of org/birds"),
        ("preprocess.sources.2.hub.joined={birds/../x: images*}", "is no plain path below data_root"),
        ("preprocess.sources=[{name: mine, path: mine.jsonl}]", "give preprocess.sources a section hub"),
        ("fetch.address=ftp://host", "is of a kind (ftp)"),
        ("fetch.scratch=other", "leave it out"),
        ("fetch.parallel=0", "fetch.parallel=0 must be from 1 to 64"),
    ],
)
def test_what_is_wrong_is_said_before_anything_comes(
    hub: DataHub, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    assert fetch(hub, override) == 2
    assert message in capsys.readouterr().err
    assert not hub.sent


def test_a_path_that_leads_out_is_not_followed(hub: DataHub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.commit(BIRDS, {"data/../../../evil.parquet": b"x", "data/a.parquet": b"y", "index.json": b"{}"})
    assert fetch(hub, "preprocess.sources.0.hub.files=['data/../../../evil.parquet']") == 2
    assert "is no plain path below data_root" in capsys.readouterr().err


def test_a_full_disk_is_said_before(
    hub: DataHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.sizes = {f"{BIRDS}/data/a.parquet": 10**18}
    assert fetch(hub) == 1
    assert "bytes are to come, and" in capsys.readouterr().err and not hub.sent
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(hub) == 2
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
