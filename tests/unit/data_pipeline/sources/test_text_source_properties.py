"""Whatever JSON a text adapter is given, it makes well-formed Comparisons or refuses the record with a known reason."""

import copy
from typing import Any

import pytest
from bent_json import bent_records, json_of
from hypothesis import given, settings
from hypothesis import strategies as st
from text_records import RECORDS

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.registry import adapter_of

REASONS = {
    "missing_field",
    "wrong_field_type",
    "unparsable_label",
    "prompts_differ",
    "malformed_dialogue",
    "fewer_than_two_responses",
}
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=6)
    | st.sampled_from(["user", "assistant", "vote_left", "A>B", "4.5", "N/A", "<image>", "\ud800"])
)  # fmt: skip
JSON = json_of(LEAVES)


def check(shape: str, record: dict[str, Any], score_field: str = "aspects") -> None:
    source = SourceConfig(name="mine", path="x", shape=shape, score_field=score_field)
    before = copy.deepcopy(record)
    try:
        made = adapter_of(shape)(record, source, 3)
    except RecordError as error:
        assert error.reason in REASONS
        assert "row 3" in error.detail
        return
    finally:
        assert repr(record) == repr(before)
    comparisons = [made] if isinstance(made, Comparison) else made
    assert comparisons
    for comparison in comparisons:
        assert comparison.source == "mine" and isinstance(comparison.id, str) and comparison.media == ()
        assert comparison.num_responses >= 2
        ranks = {response.rank for response in comparison.responses}
        assert ranks == set(range(len(ranks)))
        assert all(isinstance(turn.role, str) for turn in comparison.prompt)
        holders = [*comparison.prompt, *comparison.responses]
        assert all(isinstance(part, str) for holder in holders for part in holder.parts)
        assert all(r.score is None or abs(r.score) < float("inf") for r in comparison.responses)


@pytest.mark.parametrize("shape", RECORDS)
@settings(max_examples=120)
@given(data=st.data())
def test_a_bent_record(shape: str, data: st.DataObject) -> None:
    check(
        shape,
        data.draw(bent_records(RECORDS[shape], JSON)),
        data.draw(st.sampled_from(["aspects", "safer", "overall_score"])),
    )


@pytest.mark.parametrize("shape", RECORDS)
@settings(max_examples=30)
@given(record=st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_any_object(shape: str, record: dict[str, Any]) -> None:
    check(shape, record)
