"""Whatever JSON a multimodal adapter is given, it makes well-formed Comparisons or refuses the record by name."""

from typing import Any

import pytest
from bent_json import bent_records, json_of
from hypothesis import given, settings
from hypothesis import strategies as st
from multimodal_records import R1_JUDGED, RECORDS, V1_DIALOGUES

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.inspection.quarantine import MEANINGS
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef
from data_pipeline.sources.registry import adapter_of

JSONL = {
    "prompt": [{"role": "user", "content": "<image> Draw it."}],
    "image": "seen.png",
    "responses": [{"text": "", "image": ["a.png"], "score": 2}, {"text": "<image>!", "image": "b.png", "score": 1}],
}
CASES = [
    *RECORDS.items(),
    ("r1_reward", dict(R1_JUDGED)),
    ("sharegpt", dict(V1_DIALOGUES)),
    ("jsonl", JSONL),
]
WORDS = ["user", "human", "gpt", "model_a", "A>B", "<image>", "<image><image>", "data:x", "[1]", "{}", "\ud800"]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=6)
    | st.binary(max_size=4) | st.sampled_from(WORDS)
)  # fmt: skip
JSON = json_of(LEAVES)


def check(shape: str, record: dict[str, Any]) -> None:
    source = SourceConfig(name="mine", path="x", shape=shape)
    before = repr(record)
    try:
        made = adapter_of(shape)(record, source, 3)
    except RecordError as error:
        assert error.reason in MEANINGS
        # Scores of jsonl are checked by ranks_from_scores, which knows no rows.
        assert "row 3" in error.detail or (shape == "jsonl" and error.detail.startswith("scores"))
        return
    finally:
        assert repr(record) == before
    for comparison in [made] if isinstance(made, Comparison) else made:
        check_comparison(comparison)


def check_comparison(comparison: Comparison) -> None:
    assert comparison.source == "mine" and isinstance(comparison.id, str)
    ranks = {response.rank for response in comparison.responses}
    assert ranks == set(range(len(ranks)))
    parts = [part for turn in comparison.prompt for part in turn.parts]
    parts += [part for response in comparison.responses for part in response.parts]
    assert all(isinstance(part, str | ImageSlot) for part in parts)
    assert sorted(comparison.image_slots()) == list(range(len(comparison.media)))
    assert all(isinstance(media, MediaRef) and (media.path or media.data) for media in comparison.media)
    assert all(response.score is None or abs(response.score) < float("inf") for response in comparison.responses)


@pytest.mark.parametrize(("shape", "good"), CASES)
@settings(max_examples=100)
@given(data=st.data())
def test_a_bent_record(shape: str, good: dict[str, Any], data: st.DataObject) -> None:
    check(shape, data.draw(bent_records(good, JSON)))


@pytest.mark.parametrize("shape", [*RECORDS, "jsonl"])
@settings(max_examples=30)
@given(record=st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_any_object(shape: str, record: dict[str, Any]) -> None:
    check(shape, record)
