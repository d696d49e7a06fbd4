"""Scored Comparisons to a file and back."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipeline.errors import CorruptData, MissingInput, UserError
from rm_core.scoring.scored import ScoredComparison, check_groups
from rm_core.scoring.scored_file import ScoredOrigin, read_origin, read_scored, write_scored

SCORED = [
    ScoredComparison(
        id="b", source="two words", rewards=(0.1 + 0.2, -1e-300), ranks=(0, 1), response_lengths=(3, 70_000),
        num_images=0, group="prompt:1",
    ),
    ScoredComparison(
        id="a", source="ü", rewards=(1.0, 2.0, 3.0), ranks=(1, 0, 1), response_lengths=(1, 2, 3), num_images=2,
        blank_rewards=(0.5, 0.25, 0.125), group="image:2",
    ),
]  # fmt: skip


@pytest.mark.parametrize("scored", [SCORED, []], ids=["two", "none"])
def test_what_is_read_is_what_was_written(scored: list[ScoredComparison], tmp_path: Path) -> None:
    write_scored(str(tmp_path / "folder" / "scored.parquet"), scored)
    assert read_scored(str(tmp_path / "folder" / "scored.parquet")) == scored


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    url = tmp_path / "scored.parquet"
    with pytest.raises(MissingInput, match="basereward evaluate"):
        read_scored(str(url))
    write_scored(str(url), SCORED)
    whole = url.read_bytes()
    for content in (b"", b"{}", whole[: len(whole) // 2]):
        url.write_bytes(content)
        with pytest.raises(CorruptData, match=r"scored\.parquet' holds no scored Comparisons"):
            read_scored(str(url))
    pq.write_table(pa.table({"id": ["1"]}), url)
    with pytest.raises(CorruptData, match="holds no scored Comparisons"):
        read_scored(str(url))


def test_a_file_says_what_was_scored_by_what(tmp_path: Path) -> None:
    url = str(tmp_path / "scored.parquet")
    assert read_origin(url) is None, "no file"
    write_scored(url, SCORED)
    assert read_origin(url) is None, "no origin"
    origin = ScoredOrigin(data_fingerprint="a", split="heldout", model="b")
    write_scored(url, SCORED, origin)
    assert read_origin(url) == origin
    assert read_scored(url) == SCORED
    Path(url).write_bytes(b"{}")
    with pytest.raises(CorruptData, match="holds no scored Comparisons"):
        read_origin(url)


def test_a_file_of_an_earlier_version_has_no_groups(tmp_path: Path) -> None:
    """Its rewards are there; whoever makes an interval of them refuses, or finds the groups out."""
    url = str(tmp_path / "scored.parquet")
    write_scored(url, SCORED)
    pq.write_table(pq.read_table(url).drop_columns(["group"]), url)
    found = read_scored(url)
    assert [one.rewards for one in found] == [one.rewards for one in SCORED]
    with pytest.raises(UserError, match="comparison 'b' of source 'two words' has no group"):
        check_groups(found)
