"""Manifests and the records of work units prove themselves: what is damaged is refused, found, and written anew."""

import hashlib
import json
from pathlib import Path

import pytest

from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.dataset.layout import MANIFEST
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import CorruptData
from data_pipeline.inspection.verify import checks_of, verify_files
from data_pipeline.pipeline import plan_units, prepare, run_unit
from data_pipeline.transform.units import UnitRecord


@pytest.fixture
def config(tmp_path: Path) -> PreprocessConfig:
    """Two units, with a record that is refused."""
    rows = [{"prompt": f"Say {i}", "chosen": "Yes.", "rejected": "No." if i else ""} for i in range(4)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_tokenizer(["Say 1. Yes. No."], 300, str(tmp_path / "tokens"))
    return PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl")], rows_per_unit=2,
        data_root=str(tmp_path), output=f"{tmp_path}/shards", tokenizer=f"{tmp_path}/tokens",
    )  # fmt: skip


def files_of(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """`data` with one bit changed."""
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def test_a_changed_bit_of_a_manifest_is_refused_or_changes_nothing(config: PreprocessConfig) -> None:
    manifest = prepare(config)
    data = (Path(config.output) / MANIFEST).read_bytes()
    assert Manifest.from_json(data) == manifest
    refused = 0
    for place in range(0, len(data), 5):
        changed = flipped(data, place, place % 7)
        try:
            assert Manifest.from_json(changed) == manifest, changed[place - 20 : place + 20]
        except CorruptData:
            refused += 1
    assert refused > len(data) // 5 * 0.8, "spaces between the fields may change"


def test_every_changed_digit_of_a_manifest_is_refused(config: PreprocessConfig) -> None:
    prepare(config)
    data = (Path(config.output) / MANIFEST).read_bytes()
    digits = [place for place, byte in enumerate(data) if byte in b"0123456789"]
    for place in digits[::9]:
        with pytest.raises(CorruptData, match="preprocess again"):
            Manifest.from_json(flipped(data, place, 0))


def test_a_changed_bit_of_a_unit_is_refused_or_changes_nothing(config: PreprocessConfig) -> None:
    prepare(config)
    path = sorted(Path(config.output, "units").glob("*.json"))[0]
    data, record = path.read_bytes(), UnitRecord.read(path.stem, config.output)
    for place in range(0, len(data), 3):
        path.write_bytes(flipped(data, place, place % 7))
        try:
            assert UnitRecord.read(path.stem, config.output) == record
        except CorruptData as error:
            assert "preprocess again" in str(error) or "damaged" in str(error)


def test_damaged_records_are_found_by_verify_and_mended_by_the_same_command(
    config: PreprocessConfig, caplog: pytest.LogCaptureFixture
) -> None:
    manifest, whole = prepare(config), files_of(config.output)
    out = Path(config.output)
    unit = sorted(out.glob("units/*.json"))[0]
    damaged = [out / MANIFEST, out / "manifests" / f"{manifest.address}.json", unit]
    for path in damaged:
        path.write_bytes(path.read_bytes().replace(b'"rows"', b'"rowz"').replace(b'"made": ', b'"made": 1'))
    with pytest.raises(CorruptData):
        PreparedData.open(config.output)
    bad = {one.url for one in verify_files(checks_of(config.output, manifest)) if one.problem}
    assert bad == {str(path) for path in damaged[1:]}
    assert prepare(config) == manifest and files_of(config.output) == whole
    assert "it is written anew" in caplog.text and "its work unit is done again" in caplog.text
    assert not [one for one in verify_files(checks_of(config.output, manifest)) if one.problem]


def test_files_of_early_versions_have_no_checksum_and_are_read(
    config: PreprocessConfig, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = prepare(config)
    out = Path(config.output)
    for path, indent in ((out / MANIFEST, 2), *((unit, 1) for unit in out.glob("units/*.json"))):
        fields = json.loads(path.read_text())
        del fields["checksum"]
        path.write_text(json.dumps(fields, indent=indent, sort_keys=True, ensure_ascii=False) + "\n")
    early = (out / MANIFEST).read_bytes()
    assert Manifest.read(config.output) == manifest
    assert manifest.fingerprint == hashlib.sha256(early).hexdigest(), "the same name of the same data"
    assert all(run_unit(unit, config).reused for unit in plan_units(config))
    assert prepare(config) == manifest and (out / MANIFEST).read_bytes() == early
    assert "manifest.json has no checksum, an early version wrote it" in caplog.text
