"""The readers: row ranges of every kind of file, broken lines, files that break off."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.sources.readers import RowRange, count_rows, read_rows, split_rows

PNG = b"\x89PNG not really"
LINES = b'\xef\xbb\xbf{"n": 0}\n\n{"n": 2\n[1]\n{"n": 4}\n{"s": "\\ud83d"}\n\xff\n{"s": "\\ud83d\\ude00"}'


def as_list(url: str, *args: int) -> list[tuple[int, object]]:
    return [(row, item.reason if isinstance(item, RecordError) else item) for row, item in read_rows(url, *args)]


@pytest.fixture(params=["a.jsonl", "a.jsonl.gz"])
def lines_file(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / request.param
    path.write_bytes(gzip.compress(LINES) if path.suffix == ".gz" else LINES)
    return str(path)


def test_broken_lines_come_as_errors_with_their_row(lines_file: str) -> None:
    bad = "malformed_record"
    whole = [(0, {"n": 0}), (2, bad), (3, bad), (4, {"n": 4}), (5, bad), (6, bad), (7, {"s": "\U0001f600"})]
    assert count_rows(lines_file) == 8
    assert as_list(lines_file) == whole
    parts = split_rows(lines_file, 3)
    assert [(part.start, part.count) for part in parts] == [(0, 3), (3, 3), (6, 2)]
    assert [item for part in parts for item in as_list(lines_file, part.start, part.count, part.offset)] == whole


def test_offsets_seek_in_plain_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 0}\n{"n": 1}\n{"n": 2}\n')
    assert split_rows(str(path), 2) == [RowRange(0, 2, 0), RowRange(2, 1, 18)]


def test_deeply_nested_lines_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 200_000 + "\n")
    assert as_list(str(path)) == [(0, "malformed_record")]


def test_json_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"n": 0}, 1, {"n": 2}]))
    assert count_rows(str(path)) == 3
    assert as_list(str(path), 1, 5) == [(1, "malformed_record"), (2, {"n": 2})]
    path.write_text('{"n": 0}')
    with pytest.raises(MissingInput, match="not a list"):
        count_rows(str(path))


def test_parquet_ranges_cross_row_groups(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    table = pa.table({"n": list(range(300)), "image": [{"bytes": PNG, "path": None}] * 300})
    pq.write_table(table, path, row_group_size=100)
    assert count_rows(path) == 300
    rows = as_list(path, 90, 120)
    assert [row for row, _ in rows] == list(range(90, 210))
    assert rows[0] == (90, {"n": 90, "image": {"bytes": PNG, "path": None}})
    assert [item for part in split_rows(path, 128) for item in as_list(path, part.start, part.count)] == as_list(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", r"must end in one of \.jsonl"),
        ("a.jsonl.gz", gzip.compress(LINES * 100, mtime=0)[:-20], "not a whole .jsonl.gz file"),
        ("a.jsonl.gz", b"plain text", "not a whole .jsonl.gz file"),
        ("a.json", b'[{"n": 0}', "not a whole .json file"),
        ("a.parquet", b"PAR1 and no more", "not a whole .parquet file"),
    ],
)
def test_files_that_break_off_are_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MissingInput, match=message):
        count_rows(str(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"gone\.jsonl"):
        list(read_rows(str(tmp_path / "gone.jsonl")))
