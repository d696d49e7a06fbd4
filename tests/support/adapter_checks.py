"""What the tests of adapters ask of a record: what it becomes, and how it is refused."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
from multimodal_records import RECORDS as MULTIMODAL_RECORDS
from text_records import RECORDS as TEXT_RECORDS

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.inspection.quarantine import MEANINGS
from data_pipeline.records.comparison import Comparison, ImageSlot, Turn
from data_pipeline.sources.registry import adapter_of

__all__ = ["RECORDS", "ROW", "answers", "changed", "convert", "one", "pictured", "refusal"]

ROW = 3
RECORDS: dict[str, Any] = {**TEXT_RECORDS, **MULTIMODAL_RECORDS}


def convert(shape: str, record: Any, **options: Any) -> list[Comparison]:
    made = adapter_of(shape)(record, SourceConfig(name="mine", path="x", shape=shape, **options), ROW)
    return [made] if isinstance(made, Comparison) else list(made)


def one(shape: str, record: Any = None, **options: Any) -> Comparison:
    (made,) = convert(shape, record if record is not None else RECORDS[shape], **options)
    return made


def refusal(shape: str, record: Any, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        convert(shape, record, **options)
    assert caught.value.reason in MEANINGS
    return caught.value


def answers(comparison: Comparison) -> list[tuple[str, int]]:
    return [(response.text, response.rank) for response in comparison.responses]


def pictured(text: str, num_images: int = 1) -> tuple[Turn, ...]:
    return (Turn("user", (*(ImageSlot(i) for i in range(num_images)), text)),)


def changed(record: Any, path: Sequence[str | int], value: object) -> dict[str, Any]:
    """The record with another value at `path`; `KeyError` itself removes the field."""
    copied: Any = copy.deepcopy(dict(record))
    place = copied
    for step in path[:-1]:
        place = place[step]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert isinstance(copied, dict)
    return copied
