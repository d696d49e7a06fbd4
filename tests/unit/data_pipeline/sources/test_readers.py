"""The readers: row ranges of every kind of file, broken rows, files that break off, and what they need of memory."""

import csv
import gzip
import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.sources.readers import csv_rows, json_lists, streams
from data_pipeline.sources.readers.files import RowRange, count_rows, read_rows, split_rows

PNG = b"\x89PNG not really"
BAD = "malformed_record"
LINES = b'\xef\xbb\xbf{"n": 0}\n\n{"n": 2\n[1]\n{"n": 4}\n{"s": "\\ud83d"}\n\xff\n{"s": "\\ud83d\\ude00"}'
TABLE = b'\xef\xbb\xbfid,text\r\n0,plain\r\n1,"two\r\nlines, ""quoted"""\r\n\r\n'
TABLE += b'3,a,b\r\n4\r\n5,"open\r\n6,f\xfcr\r\n7,\xc3\xbc'


def as_list(url: str, *args: int) -> list[tuple[int, object]]:
    return [(row, item.reason if isinstance(item, RecordError) else item) for row, item in read_rows(url, *args)]


def by_ranges(url: str, rows_per_range: int) -> list[tuple[int, object]]:
    parts = split_rows(url, rows_per_range)
    return [item for part in parts for item in as_list(url, part.start, part.count, part.offset)]


def write(path: Path, data: bytes) -> str:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_broken_lines_come_as_errors_with_their_row(tmp_path: Path, name: str) -> None:
    url = write(tmp_path / name, LINES)
    whole = [(0, {"n": 0}), (2, BAD), (3, BAD), (4, {"n": 4}), (5, BAD), (6, BAD), (7, {"s": "\U0001f600"})]
    assert count_rows(url) == 8
    assert as_list(url) == whole
    assert as_list(url, 4, 2) == whole[3:5]
    assert [(part.start, part.count) for part in split_rows(url, 3)] == [(0, 3), (3, 3), (6, 2)]
    assert by_ranges(url, 3) == whole


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ('{"image": "a.png", "image": null}', "image"),
        ('{"turns": [{"role": "user", "content": "Q", "content": "P"}]}', "content"),
        ('{"a": {"b": [{"c": {"": 1, "": 1}}]}}', ""),
        ('{"\\u0061": 1, "a": 2}', "a"),
    ],
)
def test_a_record_that_names_a_field_twice_is_refused(tmp_path: Path, record: str, name: str) -> None:
    lines = write(tmp_path / "a.jsonl", f'{{"n": 0}}\n{record}\n{{"n": 2}}\n'.encode())
    items = write(tmp_path / "a.json", f'[{{"n": 0}}, {record}, {{"n": 2}}]'.encode())
    for url in (lines, items):
        assert by_ranges(url, 1) == [(0, {"n": 0}), (1, BAD), (2, {"n": 2})]
        [(_, error)] = read_rows(url, 1, 1)
        assert isinstance(error, RecordError) and f"the field {name!r} stands twice" in error.detail


@pytest.mark.parametrize("inside", [False, True])
def test_a_parquet_file_that_names_a_column_twice_is_refused(tmp_path: Path, inside: bool) -> None:
    columns = [pa.array(["a.png"]), pa.array([None], pa.string())]
    both = pa.StructArray.from_arrays(columns, names=["image", "image"])
    table = pa.Table.from_arrays(*([[both], ["record"]] if inside else [columns, ["image", "image"]]))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(MissingInput, match="two columns of the name '(record.)?image'"):
        list(read_rows(str(tmp_path / "a.parquet")))


def test_offsets_seek_in_plain_lines(tmp_path: Path) -> None:
    url = write(tmp_path / "a.jsonl", b'{"n": 0}\n{"n": 1}\n{"n": 2}\n')
    assert split_rows(url, 2) == [RowRange(0, 2, 0), RowRange(2, 1, 18)]


def test_deeply_nested_records_are_refused(tmp_path: Path) -> None:
    deep = b"[" * 200_000
    assert as_list(write(tmp_path / "a.jsonl", deep)) == [(0, BAD)]
    with pytest.raises(MissingInput, match="nested too deeply"):
        count_rows(write(tmp_path / "a.json", b"[" + deep))


def test_a_line_that_fits_no_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_RECORD_BYTES", 100)
    url = write(tmp_path / "a.jsonl", b'{"n": 0}\n{"n": "' + b"x" * 500 + b'"}\n{"n": 2}\n')
    assert as_list(url) == [(0, {"n": 0}), (1, BAD), (2, {"n": 2})]
    assert by_ranges(url, 1) == as_list(url)


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_json_lists(tmp_path: Path, name: str) -> None:
    url = write(tmp_path / name, b'\xef\xbb\xbf [ {"n": 0},\n1 , {"n": "\xc3\xbc"},{"s": "\\ud83d"}\n]\n')
    assert count_rows(url) == 4
    assert as_list(url, 1, 5) == [(1, BAD), (2, {"n": "ü"}), (3, BAD)]
    assert as_list(url, 0, 1) == [(0, {"n": 0})]
    assert by_ranges(url, 1) == as_list(url)
    assert as_list(write(tmp_path / name, b"[]")) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3), max_size=8),
    st.sampled_from([None, 2]),
    st.booleans(),
    st.integers(1, 40),
)
def test_any_json_list_is_read_as_json_reads_it(
    tmp_path_factory: pytest.TempPathFactory, records: list[object], indent: int | None, ascii: bool, piece: int
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lists, "_PIECE_BYTES", piece)  # every token and every character is cut somewhere
        url = write(folder / "a.json", json.dumps(records, indent=indent, ensure_ascii=ascii).encode("utf8", "replace"))
        expected = json.loads(Path(url).read_bytes())
        assert [record for _, record in read_rows(url)] == expected
        assert [item for _, item in by_ranges(url, 3)] == expected


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_lines_that_are_called_a_list_are_read_as_lines(tmp_path: Path, name: str) -> None:
    """SHP's ``train.json`` has an object a line; its first two tell it from a list and from an index of files."""
    url = write(tmp_path / name, b'\xef\xbb\xbf{"n": 0}\n\n{"n": 2}\n{"n": 3\n{"n": 4}')
    whole = [(0, {"n": 0}), (2, {"n": 2}), (3, BAD), (4, {"n": 4})]
    assert count_rows(url) == 5
    assert as_list(url) == by_ranges(url, 2) == whole


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_tables_are_read_by_their_first_line(tmp_path: Path, name: str) -> None:
    url = write(tmp_path / name, TABLE)
    whole = [
        (0, {"id": "0", "text": "plain"}),
        (1, {"id": "1", "text": 'two\r\nlines, "quoted"'}),
        (3, BAD),
        (4, BAD),
        (5, BAD),
        (6, BAD),
        (7, {"id": "7", "text": "ü"}),
    ]
    assert count_rows(url) == 8
    assert as_list(url) == whole
    assert as_list(url, 1, 3) == whole[1:3]
    for rows_per_range in (1, 2, 3):
        assert by_ranges(url, rows_per_range) == whole


def test_a_ragged_row_is_named(tmp_path: Path) -> None:
    ((_, error),) = read_rows(write(tmp_path / "a.csv", TABLE), 3, 1)
    assert isinstance(error, RecordError)
    assert "row 3 has 3 fields where the first line names 2: ['3', 'a', 'b']" in error.detail


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tsv", b"#id\ta1, a2\n1\tx, y\n"),
        ("a.csv", b"#id\ta1; a2\n1\tx, y\n"),
        ("a.csv", b"#id;a1\n1;x, y\n"),
    ],
)
def test_other_delimiters(tmp_path: Path, name: str, data: bytes) -> None:
    ((_, record),) = read_rows(write(tmp_path / name, data))
    assert isinstance(record, dict)
    assert list(record.values()) == ["1", "x, y"]


CELLS = st.text(st.characters(codec="utf8", exclude_characters="\0"), max_size=6)


@settings(max_examples=100)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from([",", "\t"]))
def test_any_table_written_by_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    name = "a.csv" if delimiter == "," else "a.tsv"
    url = write(tmp_path_factory.mktemp("tables") / name, text.getvalue().encode())
    expected = [(i, {"a": a, "b": b}) for i, (a, b) in enumerate(rows)]
    assert as_list(url) == expected
    assert by_ranges(url, 2) == expected


def test_parquet_ranges_cross_row_groups(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    table = pa.table({"n": list(range(300)), "image": [{"bytes": PNG, "path": None}] * 300})
    pq.write_table(table, path, row_group_size=100)
    assert count_rows(path) == 300
    rows = as_list(path, 90, 120)
    assert [row for row, _ in rows] == list(range(90, 210))
    assert rows[0] == (90, {"n": 90, "image": {"bytes": PNG, "path": None}})
    assert by_ranges(path, 128) == as_list(path)


def test_files_of_every_kind_are_read_inside_archives(tmp_path: Path) -> None:
    records = [{"n": str(i)} for i in range(5)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (tmp_path / "a.json").write_text(json.dumps(records))
    (tmp_path / "a.csv").write_text("n\n" + "".join(f"{i}\n" for i in range(5)))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    pq.write_table(pa.table({"n": [str(i) for i in range(5)]}), tmp_path / "a.parquet", row_group_size=2)
    names = ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.parquet"]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
            for name in names:
                archive.write(tmp_path / name, f"sub/{name}")
        for name in names:
            url = f"{tmp_path}/a.zip/sub/{name}"
            assert by_ranges(url, 2) == list(enumerate(records)), (name, method)
    with pytest.raises(MissingInput, match=r"name the files in the archive"):
        count_rows(str(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xml", b"", r"must end in one of \.jsonl"),
        ("a.csv", b"", "must name each field once"),
        ("a.csv", b"a,a\n1,2\n", "must name each field once"),
        ("a.csv", b'"a,b\n1,2\n', "names no fields"),
        ("a.json", b"", "it is empty"),
        ("a.json", b'{"n": 0}', "holds one object, not a list"),
        ("a.json", b'{"n": 0}\n', "holds one object, not a list"),
        ("a.json", b'{\n"n": 0}\n', "holds one object, not a list"),
        ("a.json", b"7", "holds one value, not a list"),
        ("a.json", b'[{"n": 0}', "not a whole .json file: byte 9"),
        ("a.json", b'[{"n": 0} {"n": 1}]', "expected ',' or ']', got '{'"),
        ("a.json", b'[{"n": 0}] []', "something follows"),
        ("a.json", b'[{"n": 0, oops' + b" " * 5000 + b"}]", "byte 1: Expecting property name"),
        ("a.json", b'[{"n": "\xff"}]', "not a whole .json file: 'utf-8' codec"),
        ("a.parquet", b"PAR1 and no more", "not a whole .parquet file"),
    ],
)
def test_files_that_are_broken_are_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(MissingInput, match=message):
        count_rows(write(tmp_path / name, data))


@pytest.mark.parametrize("data", [gzip.compress(LINES * 100, mtime=0)[:-20], b"plain text"])
def test_a_gzip_file_that_breaks_off_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    with pytest.raises(MissingInput, match=r"not a whole \.jsonl\.gz file"):
        count_rows(str(tmp_path / "a.jsonl.gz"))


def test_damaged_parquet_pages_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [f"{i} {i * i}" for i in range(1000)]}), path, compression="snappy")
    data = bytearray(path.read_bytes())
    data[40:2000] = b"\xff" * 1960
    path.write_bytes(data)
    with pytest.raises(MissingInput, match="not a whole .parquet file"):
        list(read_rows(str(path)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"gone\.jsonl"):
        list(read_rows(str(tmp_path / "gone.jsonl")))


def peak_bytes(action: Callable[[], object]) -> int:
    tracemalloc.start()
    action()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.json.gz"])
def test_a_large_file_needs_little_memory(tmp_path: Path, name: str) -> None:
    texts = [f"{i} " + "x" * 20_000 for i in range(2000)]
    if ".json" in name:
        rows = [json.dumps({"text": text}) for text in texts]
        data = "\n".join(rows) if name == "a.jsonl" else f"[{', '.join(rows)}]"
    else:
        data = "text\n" + "\n".join(texts)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data.encode(), 1) if name.endswith(".gz") else data.encode())
    del data
    assert peak_bytes(lambda: split_rows(str(path), 100)) < 8_000_000  # of 40
    last = split_rows(str(path), 100)[-1]
    assert peak_bytes(lambda: list(read_rows(str(path), last.start, last.count, last.offset))) < 16_000_000
    assert sum(1 for _ in read_rows(str(path), last.start, last.count, last.offset)) == 100


def test_a_large_row_group_needs_little_memory(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    random = Random(0)
    table = pa.table({"image": [random.randbytes(200_000) for _ in range(300)]})
    pq.write_table(table, path, write_batch_size=4)  # one group of 60 MB
    del table
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    old = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        assert sum(1 for _ in read_rows(path)) == 300
    finally:
        pa.set_memory_pool(old)
    assert 0 < pool.max_memory() < 30_000_000


def test_a_row_of_too_many_lines_or_fields_is_refused_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_RECORD_VALUES", 3)
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n" + ",".join("x" * 9) + '\n3,4\n"\n\n\n\n\n5,6\n')
    found = [record if isinstance(record, dict) else record.reason for _, record in read_rows(str(path))]
    good = [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}, {"a": "5", "b": "6"}]
    assert found == [good[0], BAD, good[1], BAD, good[2]]


def test_every_kind_of_parquet_column_is_read_as_arrow_reads_it(tmp_path: Path) -> None:
    """Texts come through their dictionaries, rows by their decoded size."""
    columns = {
        "text": pa.array(["a", "b", None] * 40),
        "large": pa.array(["L", None, "M"] * 40, pa.large_string()),
        "bytes": pa.array([b"1", b"22", None] * 40),
        "fixed": pa.array([b"12", None, b"34"] * 40, pa.binary(2)),
        "map": pa.array([[("k", "1"), ("j", "2")], None, []] * 40, pa.map_(pa.string(), pa.string())),
        "pair": pa.array([[1, 2], [3, 4], [5, 6]] * 40, pa.list_(pa.int32(), 2)),
        "struct": pa.array([{"x": ["p", "q"], "y": None}, None, {"x": None, "y": b"z"}] * 40),
        "nested": pa.array([[["a"], ["b", "c"]], [], None] * 40),
        "category": pa.array(["u", "v", None] * 40).dictionary_encode(),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("2.25")] * 40),
        "time": pa.array([datetime(2020, 1, 1, tzinfo=UTC), None, datetime(2021, 1, 1, tzinfo=UTC)] * 40),
        "null": pa.nulls(120),
        "flag": pa.array([True, None, False] * 40),
        "half": pa.array([1.5, None, 2.5] * 40, pa.float16()),
    }
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=37)
    assert [record for _, record in read_rows(str(tmp_path / "x.parquet"))] == table.to_pylist()
    assert [record for _, record in read_rows(str(tmp_path / "x.parquet"), 30, 50)] == table.to_pylist()[30:80]
