"""Multimodal adapters on the real sets, where the folder of $BASEREWARD_REAL_DATA holds them; images are not read."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.sources.registry import adapter_of

REAL_DATA = Path(os.environ.get("BASEREWARD_REAL_DATA", Path(__file__).parents[5] / "shared" / "data"))


def rows_of(path: str) -> list[tuple[int, Any]]:
    url = REAL_DATA / path
    if not url.exists():
        pytest.skip(f"{url} is not here; set BASEREWARD_REAL_DATA to the folder of the real sets")
    return list(read_rows(str(url)))


def made_of(path: str, shape: str) -> list[Comparison]:
    """The Comparisons of a real file, of which no record may be refused."""
    source, adapter = SourceConfig(name="real", path=path, shape=shape), adapter_of(shape)
    comparisons: list[Comparison] = []
    for row, record in rows_of(path):
        assert isinstance(record, dict), record
        made = adapter(record, source, row)
        comparisons += [made] if isinstance(made, Comparison) else made
    return comparisons


def best(comparison: Comparison) -> str:
    (found,) = [response.text for response in comparison.responses if response.rank == 0]
    return found


def test_vl_rewardbench_prefers_what_its_flat_form_chose() -> None:
    nested = made_of("benchmarks/vl_rewardbench/data.json", "vl_rewardbench")
    flat = made_of("benchmarks/vl_rewardbench/r1_reward_flat.jsonl", "r1_reward")
    assert len(nested) == len(flat) == 1250
    assert [best(comparison) for comparison in nested] == [best(comparison) for comparison in flat]
    assert [comparison.id for comparison in nested] == [comparison.id for comparison in flat]
    assert Counter(comparison.responses[0].rank for comparison in nested) == {0: 1245, 1: 5}
    assert all(len(comparison.media) == 1 for comparison in nested + flat)
    for comparison in nested:
        check(comparison)


def test_mm_rlhf_rewardbench() -> None:
    made = made_of("benchmarks/mm_rlhf_rewardbench/mm_reward_bench.jsonl", "mm_rlhf")
    kinds = Counter("video" if c.media[0].is_video else (c.media[0].path or "").split("/")[0] for c in made)
    assert kinds == {"mcq": 42, "long": 37, "short": 34, "safety": 32, "video": 25}


def test_multimodal_rewardbench_predictions_have_no_answers() -> None:
    path = "benchmarks/multimodal_rewardbench/example.jsonl"
    source = SourceConfig(name="real", path=path, shape="multimodal_rewardbench")
    rows = rows_of(path)
    assert len(rows) == 2
    for row, record in rows:
        with pytest.raises(RecordError, match=f"missing_field: Better in row {row}"):
            adapter_of("multimodal_rewardbench")(record, source, row)


def test_llama_factory_pairs() -> None:
    pairs = made_of("text/llama_factory_demo/dpo_en_demo.json", "sharegpt")
    assert len(pairs) == 300
    assert Counter(comparison.prompt[0].role for comparison in pairs) == {"user": 220, "system": 80}
    whole = made_of("text/llama_factory_demo/v1_dpo_demo.jsonl", "sharegpt")
    assert [len(comparison.prompt) for comparison in whole] == [2] * 10
    for comparison in pairs + whole:
        check(comparison)


def test_llama_factory_dialogues_with_images() -> None:
    """The demo's dialogues have no pairs: their last turn is made the chosen one here, to read the images' places."""
    source = SourceConfig(name="real", path="x", shape="sharegpt")
    rows = rows_of("text/llama_factory_demo/mllm_demo.json")
    for row, record in rows:
        *before, last = record["messages"]
        made = adapter_of("sharegpt")({**record, "messages": before, "chosen": last, "rejected": "No."}, source, row)
        assert isinstance(made, Comparison)
        assert made.image_slots() == list(range(len(record["images"])))
        check(made)
    assert rows
