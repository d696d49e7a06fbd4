"""A suite's folder: which files are read, what a row is, and whether they are the published ones."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecordError, UserError
from data_pipeline.records.comparison import Comparison, MediaRef, text_of
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.sources.registry import adapter_of
from rm_core.evaluation.suites.suite import RawRow, Suite, SuiteItem

__all__ = ["SuiteData", "comparisons_in", "open_suite"]

_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class SuiteData:
    """A suite as it lies in a folder, with the published counts."""

    suite: Suite
    folder: str
    media_root: str
    """The folder that paths of pictures start from and may not leave."""
    files: tuple[str, ...]
    items: tuple[SuiteItem, ...]
    """A row each, `items[i].index == i`."""


def open_suite(suite: Suite, folder: str, media_root: str | None = None) -> SuiteData:
    """Read all rows of the suite in `folder`, and refuse what is not the suite.

    Args:
        folder: a folder, an archive, ``s3://`` or ``hf://`` at a pinned commit.
        media_root: where paths of pictures start; None: `folder`.

    Raises:
        MissingInput: no file has one of the suite's names.
        UserError: a row is none of the suite's, or the counts are not the published ones; says which.
    """
    files = _files(suite, folder)
    items = []
    for index, record, comparison, name in _rows(suite, files):
        if isinstance(comparison, RecordError):
            raise UserError(f"row {index} of {suite.name} in {folder!r} is none of its rows: {comparison}")
        items.append(_item(suite, index, record, comparison, name))
    if wrong := suite.differs(items):
        shown = "; ".join(wrong[:_SHOWN]) + (f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else "")
        raise UserError(
            f"{', '.join(files)} is not {suite.title} as published: {shown}; fetch it again, or name its folder with "
            f"evaluate.suite_folders.{suite.name}=..."
        )
    return SuiteData(
        suite=suite, folder=folder, media_root=media_root or folder, files=tuple(files), items=tuple(items)
    )


def comparisons_in(data: SuiteData, start: int, count: int) -> Iterator[Comparison]:
    """Rows [start, start + count) of the suite, in order.

    Raises:
        UserError: a file has changed since it was opened.
    """
    for index, _, comparison, _ in islice(_rows(data.suite, data.files), start, start + count):
        if isinstance(comparison, RecordError):
            raise UserError(f"row {index} of {data.suite.name} has changed since it was opened: {comparison}")
        yield comparison


def _files(suite: Suite, folder: str) -> list[str]:
    for pattern in suite.files:
        if found := storage.list_files(storage.join(folder, pattern)):
            return found
    raise MissingInput(
        f"{suite.title} is not in {folder!r}, where its files are called {', '.join(suite.files)}: put them there, "
        f"change evaluate.suite_root, or name their folder with evaluate.suite_folders.{suite.name}=..."
    )


def _rows(suite: Suite, files: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any], Comparison | RecordError, str]]:
    """(index, raw record, what its adapter makes of it, name of its file); blank lines are no rows."""
    source = SourceConfig(name=suite.name, path=files[0], shape=suite.shape)
    adapter = adapter_of(suite.shape, refuse_lost=False)
    rows = ((record, storage.name_of(url)) for url in files for _, record in read_rows(url))
    for index, (record, name) in enumerate(rows):
        if isinstance(record, RecordError):
            yield index, {}, record, name
            continue
        try:
            made = adapter(record, source, index)
        except RecordError as error:
            yield index, record, error, name
            continue
        assert isinstance(made, Comparison), f"rows of {suite.shape} are one Comparison each"
        yield index, record, made, name


def _item(suite: Suite, index: int, record: Mapping[str, Any], comparison: Comparison, file: str) -> SuiteItem:
    prompt = "\n".join(text_of(turn.parts) for turn in comparison.prompt)
    return SuiteItem(
        index=index,
        id=comparison.id,
        category=suite.category(RawRow(record, comparison.id, file)),
        ranks=tuple(response.rank for response in comparison.responses),
        lengths=tuple(len(response.text) for response in comparison.responses),
        num_media=len(comparison.media),
        keys=tuple(map(_key, comparison.media)),
        prompt_key=hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(),
    )


def _key(ref: MediaRef) -> str:
    return f"file:{ref.path}" if ref.data is None else f"sha256:{hashlib.sha256(ref.data).hexdigest()}"
