"""A source read outside the pipeline keeps the source's own limit."""

import json
from pathlib import Path

import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput
from data_pipeline.sources.inputs import comparisons_of


def test_the_limit_holds_over_all_files_and_refused_records_are_left_out(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 3)):
        rows = [{"id": i, "prompt": "p", "chosen": "c", "rejected": "r"} for i in range(first, first + 3)]
        del rows[1]["rejected"]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = comparisons_of(SourceConfig(name="s", path="*.jsonl", limit=4), str(tmp_path))
    assert [comparison.id for comparison in found] == ["0", "2", "3"]


def test_a_source_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="'s' has no files"):
        list(comparisons_of(SourceConfig(name="s", path="none.jsonl"), str(tmp_path)))
