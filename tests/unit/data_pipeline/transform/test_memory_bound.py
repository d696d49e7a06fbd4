"""Whatever the input, a worker's memory stays below a bound: small files that ask for gigabytes, under a limit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huge_inputs
import pytest

BOUND_BYTES = 1 << 31
"""What one worker process may take for a record, above what it takes for its libraries (docs/reliability.md)."""

EXPECTED = {
    "text": ["kept", "too_long", "kept"],
    "wide": ["too_long", "kept"],
    "almost": ["kept"],
    "line": ["malformed_record", "kept"],
    "objects": ["malformed_record", "kept"],
    "lists": ["malformed_record", "kept"],
    "keys": ["malformed_record", "kept"],
    "list": ["kept", "file refused"],
    "answers": ["too_long", "kept"],
    "fields": ["malformed_record", "kept"],
    "dictionary": ["too_long"] * 20,
    "nested": ["malformed_record", "kept", "malformed_record"],
    "zeros": ["malformed_record"],
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[str], int]]:
    """Name of a file -> what came of its rows, and the peak of the process until then."""
    folder = tmp_path_factory.mktemp("huge")
    for make in huge_inputs.MADE:
        make(folder)
    (folder / "small.jsonl").write_bytes(huge_inputs.GOOD)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000
    done = subprocess.run(
        [sys.executable, huge_inputs.__file__, str(folder), str(BOUND_BYTES)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), "OMP_NUM_THREADS": "1",
             "MALLOC_ARENA_MAX": "2"},
        capture_output=True, text=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    print("\n".join(f"{name}: peak {peak / 1e6:.0f} MB, {len(rows)} rows" for name, rows, peak in lines), done.stderr)
    return {name: (rows, peak) for name, rows, peak in lines}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_small_file_that_asks_for_gigabytes_costs_only_its_record(
    name: str, found: dict[str, tuple[list[str], int]]
) -> None:
    assert found[name][0] == EXPECTED[name]


def test_a_quote_that_is_never_closed_costs_rows_and_no_memory(found: dict[str, tuple[list[str], int]]) -> None:
    assert "MemoryError" not in found["quote"][0] and set(found["quote"][0]) == {"malformed_record"}
