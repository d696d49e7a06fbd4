"""Text adapters on the real sets, where the folder of $BASEREWARD_REAL_DATA holds them."""

import os
from collections import Counter
from pathlib import Path

import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.sources.registry import adapter_of

REAL_DATA = Path(os.environ.get("BASEREWARD_REAL_DATA", Path(__file__).parents[5] / "shared" / "data"))


def made_of(path: str, shape: str) -> tuple[list[Comparison], Counter[str]]:
    """(the Comparisons of a real file, its refused records by reason)."""
    url = REAL_DATA / path
    if not url.exists():
        pytest.skip(f"{url} is not here; set BASEREWARD_REAL_DATA to the folder of the real sets")
    source, adapter = SourceConfig(name="real", path=path, shape=shape), adapter_of(shape)
    comparisons: list[Comparison] = []
    refused: Counter[str] = Counter()
    for row, record in read_rows(str(url)):
        assert isinstance(record, dict), record
        try:
            made = adapter(record, source, row)
        except RecordError as error:
            refused[error.reason] += 1
            continue
        comparisons += [made] if isinstance(made, Comparison) else made
    return comparisons, refused


def sizes(comparisons: list[Comparison]) -> dict[int, int]:
    return dict(Counter(comparison.num_responses for comparison in comparisons))


def test_open_assistant() -> None:
    comparisons, refused = made_of("text/open_assistant/en_100_tree.jsonl", "oasst")
    # One of the 117 groups of three has a fourth reply, which nobody ranked.
    assert sizes(comparisons) == {2: 57, 3: 117, 4: 27, 5: 3, 6: 6, 8: 1, 9: 1}
    assert sum(refused.values()) < 10 and set(refused) <= {"fewer_than_two_responses"}
    assert len({comparison.id for comparison in comparisons}) == len(comparisons)
    assert {turn.role for comparison in comparisons for turn in comparison.prompt} == {"user", "assistant"}
    assert all(comparison.prompt[-1].role == "user" for comparison in comparisons)


def test_fine_grained() -> None:
    comparisons, refused = made_of("text/fine_grained_rlhf/dev_feedback.json", "fine_grained")
    assert sizes(comparisons) == {4: 478, 2: 72}
    assert not refused
    assert sum(comparison.num_ordered_pairs == 0 for comparison in comparisons) == 12


def test_hh_rlhf() -> None:
    comparisons, refused = made_of("text/hh_rlhf/harmless_base_test.jsonl.gz", "hh_rlhf")
    assert (len(comparisons), dict(refused)) == (2307, {"prompts_differ": 5})


@pytest.mark.parametrize(
    ("name", "count"), [("chat", 129), ("code", 228), ("safety-refuse", 284), ("safety-response", 157)]
)
def test_rm_bench(name: str, count: int) -> None:
    comparisons, refused = made_of(f"benchmarks/rm_bench/{name}_filtered.json", "rm_bench")
    assert (sizes(comparisons), dict(refused)) == ({6: count}, {})
    assert {comparison.num_ordered_pairs for comparison in comparisons} == {9}
