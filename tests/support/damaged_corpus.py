"""A corpus of damaged inputs of every kind, each with what has to become of it.

    records/lines.jsonl      broken lines and records, text only       pictures/pictures.jsonl   one image file a record
    records/*.jsonl          other encodings and line ends             pictures/references.jsonl paths not followed
    records/rows.parquet     images inside the rows                    packed/*.jsonl            images in zip and tar
    broken/*                 files that are broken as a whole

Everything is made anew each time, the same each time but for its folder's name, in about two seconds.
"""

import base64
import gzip
import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from damaged_images import KEPT, damaged_images, encoded, noise
from damaged_records import Case, good_lines, json_case, odd_lines, pair, repeated_lines

from data_pipeline.config import SourceConfig

__all__ = ["EMPTY", "FILTERED", "READABLE", "STOPS", "Expectation", "stopping_sources", "write_damaged_corpus"]

STOPS = "stops"
"""The outcome of a file that is broken as a whole: a UserError names it before any work."""
EMPTY = "empty"
"""The outcome of a file without a record."""
FILTERED = frozenset({"duplicate", "too_long"})
"""Reasons that are given after all records were made, by comparing them or by their length in tokens."""
READABLE = (
    SourceConfig(name="lines", path="records/lines.jsonl"),
    SourceConfig(name="encodings", path="records/encoding_*.jsonl"),
    SourceConfig(name="rows", path="records/rows.parquet"),
    SourceConfig(name="pictures", path="pictures/pictures.jsonl"),
    SourceConfig(name="references", path="pictures/references.jsonl"),
    SourceConfig(name="zip", path="packed/zip.jsonl", media_root="packed/images.zip"),
    SourceConfig(name="tar", path="packed/tar.jsonl", media_root="packed/images.tar"),
    SourceConfig(name="empty", path="records/empty.jsonl"),
)
"""The sources to run together, paths relative to the corpus; `stopping_sources` are to be run one by one."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What has to become of one record, or of one file as a whole.

    Attributes:
        case: what is wrong with it, in a word.
        source: the name of its source; for a file that stops a run that of its `stopping_sources`.
        path: the file, relative to the corpus.
        row: place in the file; -1: the file as a whole.
        outcome: ``"kept"``, the reason of the refusal, `STOPS` or `EMPTY`.
    """

    case: str
    source: str
    path: str
    row: int
    outcome: str


def write_damaged_corpus(folder: Path, good: int = 20) -> list[Expectation]:
    """Write the corpus below `folder`, with `good` good records in lines.jsonl, and say what is to become of it all."""
    for name in ("records", "pictures", "packed", "broken"):
        (folder / name).mkdir(parents=True)
    return [
        *_write_lines(folder, "lines", "records/lines.jsonl", [*good_lines(good), *odd_lines(), *repeated_lines()]),
        *_write_encodings(folder),
        *_write_parquet(folder),
        *_write_pictures(folder),
        *_write_lines(folder, "references", "pictures/references.jsonl", _references(folder)),
        *_write_zip(folder),
        *_write_tar(folder),
        *_write_broken(folder),
    ]


def stopping_sources(expectations: Sequence[Expectation]) -> list[SourceConfig]:
    """One source for each file that stops a run."""
    return [SourceConfig(name=e.source, path=e.path) for e in expectations if e.outcome == STOPS]


def _write_encodings(folder: Path) -> Iterator[Expectation]:
    """Files that are written in other ways; the row counts the lines, also the blank ones."""
    lines = [json.dumps(pair(f"encoding {i}")) for i in range(6)]
    texts = {
        "encoding_bom.jsonl": (b"\xef\xbb\xbf" + lines[0].encode() + b"\n", [KEPT]),
        "encoding_crlf.jsonl": (f"{lines[1]}\r\n\r\n{lines[2]}\r\n".encode(), [KEPT, None, KEPT]),
        "encoding_no_last_newline.jsonl": (f"\n\n{lines[3]}".encode(), [None, None, KEPT]),
        "encoding_old_mac.jsonl": (f"{lines[4]}\r{lines[5]}\r".encode(), ["malformed_record"]),
        "encoding_utf16.jsonl": ("{}\n".encode("utf-16-le"), ["malformed_record", "malformed_record"]),
    }
    for name, (data, outcomes) in texts.items():
        (folder / "records" / name).write_bytes(data)
        for row, outcome in enumerate(outcomes):
            if outcome is not None:
                yield Expectation(case=name, source="encodings", path=f"records/{name}", row=row, outcome=outcome)
    (folder / "records" / "empty.jsonl").touch()
    yield Expectation(case="empty file", source="empty", path="records/empty.jsonl", row=-1, outcome=EMPTY)


def _write_parquet(folder: Path) -> Iterator[Expectation]:
    picture = encoded(noise(seed=20))
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("embedded", {"image": {"bytes": picture, "path": "../../ignored.png"}}, KEPT),
        ("embedded and broken", {"image": {"bytes": picture[:99], "path": "a.png"}}, "broken_image"),
        ("empty bytes", {"image": {"bytes": b"", "path": None}}, "missing_media"),
        ("neither", {"image": {"bytes": None, "path": None}}, "missing_media"),
        ("path to nowhere", {"image": {"bytes": None, "path": "a.png"}}, "missing_media"),
        ("path outside", {"image": {"bytes": None, "path": "../a.png"}}, "unsafe_path"),
        ("no image", {"image": None}, KEPT),
        ("prompt is null", {"prompt": None}, "missing_field"),
        ("answer is null", {"chosen": None}, "missing_field"),
    ]
    path = "records/rows.parquet"
    rows = [pair(f"row {case}", image=None) | fields for case, fields, _ in cases]
    pq.write_table(pa.Table.from_pylist(rows), folder / path, row_group_size=4)
    for row, (case, _, outcome) in enumerate(cases):
        yield Expectation(case=case, source="rows", path=path, row=row, outcome=outcome)


def _write_pictures(folder: Path) -> list[Expectation]:
    cases: list[Case] = []
    for name, data, outcome in damaged_images():
        file = folder / "pictures" / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        cases.append(json_case(name, outcome, image=f"images/{name}"))
    return _write_lines(folder, "pictures", "pictures/pictures.jsonl", cases)


def _references(folder: Path) -> Iterator[Case]:
    """Image references that name no file below the root, or no file at all; needs the pictures' folder."""
    root = folder / "pictures"
    picture = encoded(noise(seed=21))
    (folder / "secret.png").write_bytes(encoded(noise(seed=24)))
    (root / "own.png").write_bytes(picture)
    (root / "folder.png").mkdir()
    os.symlink(folder / "secret.png", root / "link_out.png")
    os.symlink(folder, root / "folder_out")
    os.symlink("own.png", root / "link_inside.png")
    os.symlink("gone.png", root / "link_to_nothing.png")
    os.symlink("circle.png", root / "circle.png")
    os.symlink("/dev/zero", root / "zeros.png")
    os.mkfifo(root / "pipe.png")
    yield from _unsafe_paths(folder)
    yield from _absent_paths()
    for url in ("http://example.org/a.png", "https://example.org/a.png", "s3://bucket/a.png", "ftp://host/a.png"):
        yield json_case(f"remote {url}", "remote_media", image=url)
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    for case, value, outcome in (
        ("link inside", "link_inside.png", KEPT),
        ("data URL", url, KEPT),
        ("data URL cut off", url[: len(url) // 8 * 4 + url.index(",") + 1], "broken_image"),
        ("data URL with other letters", url[:50] + "!*" + url[50:], "broken_image"),
        ("data URL of text", "data:text/plain;base64,aGVsbG8=", "broken_image"),
        ("data URL without base64", "data:image/png,abc", "broken_image"),
        ("no image", None, KEPT),
        ("empty name", "", KEPT),
        ("empty list", [], KEPT),
        ("number", 5, "wrong_field_type"),
        ("true", True, "wrong_field_type"),
        ("list of numbers", [5], "wrong_field_type"),
        ("bytes as text", {"bytes": "abc"}, "wrong_field_type"),
        ("neither bytes nor path", {"bytes": None}, "missing_media"),
        ("one good and one broken", ["own.png", "images/words.png"], "broken_image"),
        ("the same twice", ["own.png", "own.png"], KEPT),
    ):
        yield json_case(f"reference: {case}", outcome, image=value)
    yield json_case("one tag, two images", "image_slot_mismatch", image=["own.png"] * 2, prompt="<image> one?")


def _unsafe_paths(folder: Path) -> Iterator[Case]:
    for path in (
        "../secret.png",
        "images/../../secret.png",
        "..\\secret.png",
        "..",
        "/etc/passwd",
        str(folder / "secret.png"),
        "//host/share/a.png",
        "\\\\host\\share\\a.png",
        "C:\\a.png",
        "C:/a.png",
        "own.png\0.txt",
        "file:///etc/passwd",
        "FILE://localhost/etc/passwd",
        "file:/etc/passwd",
        "link_out.png",
        "folder_out/secret.png",
        "zeros.png",
        "pipe.png",
    ):
        shown = path.replace(str(folder), "")
        yield json_case(f"unsafe {shown!r}", "unsafe_path", image=path)


def _absent_paths() -> Iterator[Case]:
    for path in (
        "gone.png",
        "own.PNG",
        "own.png/",
        "own.png/inside.png",
        "folder.png",
        ".",
        "link_to_nothing.png",
        "circle.png",
        "%2e%2e/secret.png",
        "..%2fsecret.png",
        "images\\plain.jpg",
        "~/.ssh/id_rsa",
        "$HOME/a.png",
        "*.png",
        "own.png?x=1",
        "x" * 5000,
        "a/" * 3000,
    ):
        yield json_case(f"absent {path[:40]!r}", "missing_media", image=path)


def _write_zip(folder: Path) -> list[Expectation]:
    picture = encoded(noise(seed=22))
    with zipfile.ZipFile(folder / "packed" / "images.zip", "w") as archive:
        for name in (
            "good.png",
            "sub/good.png",
            "../outside.png",
            "/absolute.png",
            "damaged.png",
            "secret.png",
            "lie.png",
        ):
            archive.writestr(zipfile.ZipInfo(name), picture)
        archive.writestr(zipfile.ZipInfo("folder/"), b"")
        with archive.open(_deflated("bomb.png"), "w") as member:
            for _ in range(60):
                member.write(bytes(1_000_000))
    _damage_zip(folder / "packed" / "images.zip", picture)
    expected = {
        "good.png": KEPT,
        "sub/good.png": KEPT,
        "../outside.png": "unsafe_path",
        "/absolute.png": "unsafe_path",
        "damaged.png": "broken_image",
        "secret.png": "missing_media",
        "lie.png": "broken_image",
        "bomb.png": "media_too_large",
        "Good.png": "missing_media",
        "folder": "missing_media",
        "folder/": "missing_media",
        "gone.png": "missing_media",
        "images.zip": "missing_media",
    }
    cases = [json_case(f"zip {name}", outcome, image=name) for name, outcome in expected.items()]
    return _write_lines(folder, "zip", "packed/zip.jsonl", cases)


def _deflated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _damage_zip(path: Path, picture: bytes) -> None:
    """Spoil one stored member, call another encrypted, and let the index lie about the size of a third."""
    data = bytearray(path.read_bytes())
    data[data.index(picture, data.index(b"damaged.png")) + 100] ^= 0xFF
    encrypted = data.rindex(b"secret.png") - 46  # the entry's place in the index
    data[encrypted + 8] |= 1
    lie = data.rindex(b"lie.png") - 46
    data[lie + 24 : lie + 28] = struct.pack("<I", len(picture) - 50)
    path.write_bytes(bytes(data))


def _write_tar(folder: Path) -> list[Expectation]:
    picture = encoded(noise(seed=23))
    with tarfile.open(folder / "packed" / "images.tar", "w") as archive:
        for name in ("good.png", "../outside.png", "empty.png", "cut.png"):
            info = tarfile.TarInfo(name)
            data = {"empty.png": b"", "cut.png": picture[:99]}.get(name, picture)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    expected = {
        "good.png": KEPT,
        "../outside.png": "unsafe_path",
        "empty.png": "broken_image",
        "cut.png": "broken_image",
        "link.png": "missing_media",
        "hard.png": "missing_media",
        "pipe.png": "missing_media",
    }
    cases = [json_case(f"tar {name}", outcome, image=name) for name, outcome in expected.items()]
    return _write_lines(folder, "tar", "packed/tar.jsonl", cases)


def _write_broken(folder: Path) -> Iterator[Expectation]:
    """Files that cannot be read to their end: each is a source of its own."""
    lines = b"".join(json.dumps(pair(f"broken {i}")).encode() + b"\n" for i in range(200))
    table = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a", "b"], "chosen": ["c", "d"], "rejected": ["e", "f"]}), table)
    parquet, packed = table.getvalue(), gzip.compress(lines, mtime=0)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_deflated("records.jsonl"), lines)
    files = {
        "cut.jsonl.gz": packed[: len(packed) // 2],
        "no_gzip.jsonl.gz": lines,
        "bad_sum.jsonl.gz": packed[:-8] + bytes(8),
        "cut.parquet": parquet[:-20],
        "no_parquet.parquet": lines,
        "cut.json": b'[{"prompt": "a"}, {"prom',
        "one_object.json": b'{"prompt": "a"}',
        "deep.json": b"[" * 100_000,
        "cut.zip": zipped.getvalue()[:-30],
        "ending.xyz": lines,
    }
    for name, data in files.items():
        (folder / "broken" / name).write_bytes(data)
        path = f"broken/{name}/records.jsonl" if name.endswith(".zip") else f"broken/{name}"
        yield Expectation(case=name, source=f"broken {name}", path=path, row=-1, outcome=STOPS)
    yield Expectation(case="no file", source="broken gone", path="broken/gone.jsonl", row=-1, outcome=STOPS)


def _write_lines(folder: Path, source: str, path: str, cases: Sequence[Case] | Iterator[Case]) -> list[Expectation]:
    listed = list(cases)
    (folder / path).write_bytes(b"".join(line + b"\n" for _, line, _ in listed))
    return [
        Expectation(case=case, source=source, path=path, row=row, outcome=outcome)
        for row, (case, _, outcome) in enumerate(listed)
    ]
