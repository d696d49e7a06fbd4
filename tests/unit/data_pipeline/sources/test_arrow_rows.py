"""Arrow files as `datasets` saves them: rows by range, folders with their descriptions, and files that are broken."""

import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.sources.inputs import comparisons_of, files_of
from data_pipeline.sources.readers import parquet_rows
from data_pipeline.sources.readers.files import RowRange, count_rows, read_rows, split_rows

ROWS = [
    {"id": i, "image": {"bytes": b"\x89PNG" + bytes([i]), "path": None}, "text": f"row {i}" * 50} for i in range(23)
]


def write(
    path: Path, rows: list[dict[str, Any]] = ROWS, *, kind: Any = pa.ipc.new_stream, size: int = 5, **how: Any
) -> str:
    table = pa.Table.from_pylist(rows)
    with kind(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**how)) as writer:
        writer.write_table(table, max_chunksize=size)
    return str(path)


@pytest.mark.parametrize("kind", [pa.ipc.new_stream, pa.ipc.new_file])
def test_every_range_of_rows(tmp_path: Path, kind: Any) -> None:
    url = write(tmp_path / "data-00000-of-00001.arrow", kind=kind)
    assert count_rows(url) == 23
    assert split_rows(url, 10) == [RowRange(0, 10), RowRange(10, 10), RowRange(20, 3)]
    assert list(read_rows(url)) == list(enumerate(ROWS))
    for start in range(24):
        for count in (0, 1, 5, 7, 30):
            rows = ROWS[start : start + count]
            assert list(read_rows(url, start, count)) == list(enumerate(rows, start)), (start, count)


def test_only_the_batches_of_the_range_are_read(tmp_path: Path) -> None:
    url = write(tmp_path / "a.arrow")
    data = Path(url).read_bytes()
    (tmp_path / "b.arrow").write_bytes(data.replace(b"row 22", b"\xff\xff\xff\xff\xff\xff"))  # no text any more
    assert len(list(read_rows(str(tmp_path / "b.arrow"), 0, 20))) == 20
    with pytest.raises(MissingInput, match=r"is not a whole .arrow file: .*fetch it again"):
        list(read_rows(str(tmp_path / "b.arrow"), 20, 1))


def test_a_row_that_is_too_large_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_rows, "MAX_RECORD_BYTES", 1000)
    url = write(tmp_path / "a.arrow", [{"text": "A" * size} for size in (10, 2000, 20)])
    (_, small), (row, large), (_, other) = read_rows(url)
    assert (len(small["text"]), len(other["text"]), row) == (10, 20, 1)
    assert isinstance(large, RecordError) and large.reason == "malformed_record"


def test_files_cut_anywhere_or_bent_are_refused(tmp_path: Path) -> None:
    whole = Path(write(tmp_path / "a.arrow", ROWS[:3], size=2)).read_bytes()
    bent = tmp_path / "bent.arrow"
    for end in range(len(whole)):
        bent.write_bytes(whole[:end])
        with pytest.raises(MissingInput, match=r"bent.arrow' is not a whole .arrow file"):
            count_rows(str(bent))
    for place in range(0, len(whole) - 4, 3):
        bent.write_bytes(whole[:place] + struct.pack("<I", 0x7FFFFFF1) + whole[place + 4 :])
        try:
            assert count_rows(str(bent)) < 1000
            list(read_rows(str(bent)))
        except MissingInput as error:
            assert "bent.arrow" in str(error)


def test_dictionaries_and_compressed_batches_say_what_to_do(tmp_path: Path) -> None:
    packed = write(tmp_path / "packed.arrow", compression="zstd")
    with pytest.raises(MissingInput, match="holds compressed batches: load it with datasets"):
        count_rows(packed)
    table = pa.table({"text": pa.array(["a", "b", "a"]).dictionary_encode()})
    with pa.ipc.new_stream(str(tmp_path / "coded.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(MissingInput, match=r"holds dictionaries: load it with datasets, and save it with to_parquet"):
        count_rows(str(tmp_path / "coded.arrow"))


def saved(folder: Path, num_rows: int = 3) -> Path:
    """A folder as `Dataset.save_to_disk` leaves it."""
    folder.mkdir(parents=True)
    rows = [{"prompt": f"Q{i}", "chosen": "A", "rejected": "B"} for i in range(num_rows)]
    write(folder / "data-00000-of-00001.arrow", rows)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    (folder / "dataset_info.json").write_text('{"features": {}}')
    return folder


def test_a_saved_folder_is_read_without_its_descriptions(tmp_path: Path) -> None:
    saved(tmp_path / "mine")
    source = SourceConfig(name="mine", path="mine")
    assert [one.prompt[0].parts for one in comparisons_of(source, str(tmp_path))] == [("Q0",), ("Q1",), ("Q2",)]


def test_of_several_saved_splits_one_has_to_be_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        saved(tmp_path / "mine" / split)
    (tmp_path / "mine" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(MissingInput, match=r"holds the splits test, train: name one, as in .*/mine/test"):
        files_of(SourceConfig(name="mine", path="mine"), str(tmp_path))
    assert len(files_of(SourceConfig(name="mine", path="mine/train"), str(tmp_path))) == 1
