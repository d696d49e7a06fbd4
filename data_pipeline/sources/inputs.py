"""A source's Comparisons as its adapter gives them, read once from the first file to the last."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.adapters import mmpr
from data_pipeline.sources.readers.files import SourceFile, read_rows
from data_pipeline.sources.registry import adapter_of

__all__ = ["comparisons_of", "files_of", "inputs_of", "media_root_of", "records_of"]


def comparisons_of(source: SourceConfig, data_root: str) -> Iterator[Comparison]:
    """Comparisons in the order of the files; records that the adapter refuses are left out (preprocessing counts them).

    Raises:
        MissingInput: the source has no files, or its shape is unknown.
    """
    adapter = adapter_of(source.shape)
    for _, row, record in records_of(source, data_root):
        if isinstance(record, RecordError):
            continue
        try:
            made = adapter(record, source, row)
        except RecordError:
            continue
        yield from [made] if isinstance(made, Comparison) else made


def records_of(
    source: SourceConfig, data_root: str
) -> Iterator[tuple[SourceFile, int, Mapping[str, Any] | RecordError]]:
    """(file, row, record) of the first `source.limit` rows, in the order of the files."""
    return islice(_records(source, data_root), source.limit)


def _records(source: SourceConfig, data_root: str) -> Iterator[tuple[SourceFile, int, Mapping[str, Any] | RecordError]]:
    for file in inputs_of(source, data_root):
        for row, record in read_rows(file.url):
            yield file, row, record


def media_root_of(file: SourceFile, source: SourceConfig, data_root: str) -> str:
    """What the paths of a file's pictures start from."""
    if file.media_root:
        return file.media_root
    return storage.parent_of(file.url) if source.media_root is None else storage.join(data_root, source.media_root)


def files_of(source: SourceConfig, data_root: str) -> list[str]:
    """The source's files, sorted.

    Raises:
        MissingInput: there are none, or the folder holds splits of which none is named.
    """
    pattern = storage.join(data_root, source.path)
    files = _without_descriptions(pattern, storage.list_files(pattern))
    if not files:
        bring = "" if source.hub is None else ", or bring them with basereward fetch"
        raise MissingInput(f"source {source.name!r} has no files at {pattern!r}: check its path and data_root{bring}")
    return files


def inputs_of(source: SourceConfig, data_root: str) -> list[SourceFile]:
    """The source's files of records, sorted; an index file of a set (MMPR's ``meta.json``) is opened and followed.

    Raises:
        MissingInput: there are none, or the index names a file that is not there.
    """
    found: list[SourceFile] = []
    for url in files_of(source, data_root):
        found += mmpr.files_in_meta(url) if source.shape == "mmpr" and url.endswith(".json") else [SourceFile(url)]
    return found


def _without_descriptions(pattern: str, files: list[str]) -> list[str]:
    """The files of records: a folder that the library `datasets` saved describes them in JSON beside them.

    Raises:
        MissingInput: the folder holds several splits, each in a folder of its own.
    """
    names = {storage.name_of(url) for url in files}
    if "dataset_dict.json" in names:
        splits = sorted(storage.name_of(folder) for folder in storage.list_folders(pattern))
        raise MissingInput(f"{pattern!r} holds the splits {', '.join(splits)}: name one, as in {pattern}/{splits[0]}")
    if "state.json" not in names or not any(name.endswith(".arrow") for name in names):
        return files
    return [url for url in files if storage.name_of(url) not in ("state.json", "dataset_info.json")]
