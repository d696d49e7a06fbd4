"""A recipe's sources to work units, each with the address of what it will write.

    input_files(config) -> InputRef -> scan_file each, anywhere -> FileScan -> cut_units -> WorkUnits

The address of a unit is a hash of everything that decides its bytes: the file's content, the rows, the adapter and its
settings, media and token settings, the tokenizer. No setting of a filter is in it, nor any other source.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline import storage
from data_pipeline.bounds import check_bounds
from data_pipeline.config import EncodeConfig, FieldMap, MediaConfig, PreprocessConfig, SourceConfig
from data_pipeline.dataset.shards import SCHEMA_VERSION
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.sources.inputs import inputs_of, media_root_of
from data_pipeline.sources.readers.files import RowRange, split_rows
from data_pipeline.sources.registry import adapter_of
from data_pipeline.transform.units import WorkUnit
from data_pipeline.transform.written import check_written

__all__ = [
    "FileScan",
    "InputRef",
    "address_of",
    "all_sources",
    "check_config",
    "cut_units",
    "input_files",
    "portable_config",
    "scan_file",
]

_NAME = re.compile(r"(?!\.+$)[\w.:-](?:[\w. :-]{0,98}[\w.:-])?")
_GROUP_KEYS = ("group_prompts", "group_max_responses", "group_max_tokens")
_VIDEO_LIMITS = ("max_video_bytes", "max_video_seconds", "max_video_frames", "max_frame_pixels")
_TRANSFORM_KEYS = ("shape", "fields", "score_field", "responses", "missing_critiques", "missing_reasonings")
"""What of a source decides what its adapter gives; the name is in every row."""
_LATER_FIELDS = ("critique", "chosen_critique", "rejected_critique", "reasonings", "answer", "options")
_OTHER = object()
"""Equal to no value of a key."""


@dataclass(frozen=True, kw_only=True)
class InputRef:
    """One raw file of one source; small and picklable.

    Attributes:
        source: place among the recipe's sources, then the benchmarks.
        path: the file as manifest and quarantine name it.
        media_root: what image paths start from.
        repeat: how often the set's own index repeats the file.
    """

    source: int
    url: str
    path: str
    media_root: str
    repeat: float


@dataclass(frozen=True, kw_only=True)
class FileScan:
    """What planning needs of a file's content."""

    sha256: str
    bytes: int
    ranges: tuple[RowRange, ...]


def input_files(config: PreprocessConfig) -> list[InputRef]:
    """The raw files of all sources and benchmarks, in the order of the plan.

    Raises:
        MissingInput: a source without files.
    """
    found: list[InputRef] = []
    for place, source in enumerate(all_sources(config)):
        if place < len(config.sources) and config.mixture.only and source.name not in config.mixture.only:
            continue  # its files need not even be here
        for file in inputs_of(source, config.data_root):
            root = media_root_of(file, source, config.data_root)
            path = _portable(file.url, config.data_root)
            found.append(InputRef(source=place, url=file.url, path=path, media_root=root, repeat=file.repeat))
    return found


def scan_file(ref: InputRef, rows_per_unit: int) -> FileScan:
    """Read the file once, for its hash and its row ranges. Any process may call this.

    Raises:
        MissingInput: the file is gone, or cannot be read to its end.
    """
    return FileScan(
        sha256=storage.sha256_of(ref.url),
        bytes=storage.size_of(ref.url),
        ranges=tuple(split_rows(ref.url, rows_per_unit)),
    )


def cut_units(config: PreprocessConfig, refs: Sequence[InputRef], scans: Mapping[str, FileScan]) -> list[WorkUnit]:
    """Cut the input files into work units.

    Args:
        refs: what `input_files` gave.
        scans: what `scan_file` gave, by url.

    Raises:
        MissingInput: no tokenizer, or no record at all.
        RecipeError: a `media_root` in an archive that can't be entered.
    """
    tokenizer = tokenizer_fingerprint(config.tokenizer)
    sources = all_sources(config)
    left = [source.limit for source in sources]
    digests: dict[str, str] = {}
    units: list[WorkUnit] = []
    for ref in refs:
        scan = scans[ref.url]
        # A file without records gets a unit of no rows, so that the manifest lists it among the inputs.
        ranges = _limited(scan.ranges or (RowRange(0, 0),), left[ref.source])
        rows = sum(part.count for part in ranges)
        left[ref.source] = None if left[ref.source] is None else left[ref.source] - rows  # type: ignore[operator]
        inputs = _inputs_of_unit(ref, scan, sources[ref.source], config, tokenizer, digests)
        for part in ranges:
            units.append(
                WorkUnit(
                    index=len(units),
                    address=address_of({**inputs, "start": part.start, "count": part.count}),
                    source=ref.source,
                    url=ref.url,
                    path=ref.path,
                    media_root=ref.media_root,
                    start=part.start,
                    count=part.count,
                    offset=part.offset,
                    file_bytes=scan.bytes,
                    file_sha256=scan.sha256,
                    file_rows=rows,
                    file_repeat=ref.repeat,
                    tokenizer=tokenizer,
                )
            )
    if not any(unit.count for unit in units if unit.source < len(config.sources)):
        names = config.mixture.only or [source.name for source in config.sources]
        raise MissingInput(f"the files of {', '.join(names)} hold no records at all")
    return units


def all_sources(config: PreprocessConfig) -> list[SourceConfig]:
    """The recipe's sources, then its benchmarks: what `WorkUnit.source` counts."""
    return [*config.sources, *config.decontaminate.against]


def address_of(value: Mapping[str, Any]) -> str:
    """20 hex digits that name `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def portable_config(config: PreprocessConfig) -> dict[str, Any]:
    """What of the config decides the output: nothing of where it runs or where the files lie on this machine."""
    raw = {**asdict(config), "encode": _encode_settings(config.encode)}
    for name in ("workers", "unit_retries", "retry_refused", "output", "data_root", "tokenizer"):
        del raw[name]
    raw["media"] = _media_settings(config)
    if not config.group_prompts:  # as earlier versions wrote it
        for name in _GROUP_KEYS:
            del raw[name]
    for source in [*raw["sources"], *raw["decontaminate"]["against"]]:
        _without_empty(source)
        for name in ("path", "media_root"):
            if source[name] is not None and os.path.isabs(source[name]):
                source[name] = _portable(source[name], config.data_root)
    return raw


def check_config(config: PreprocessConfig) -> None:
    """Refuse what cannot be meant.

    Raises:
        RecipeError: names the key and the value.
        MissingInput: an unknown record shape.
    """
    check_bounds(config, "preprocess")
    names = [source.name for source in all_sources(config)]
    if not config.sources:
        raise RecipeError("preprocess.sources is empty: name at least one source")
    for name in _GROUP_KEYS[1:]:
        value = getattr(config, name)
        if not config.group_prompts and value != getattr(PreprocessConfig(), name):
            raise RecipeError(
                f"preprocess.{name}={value} is read where Comparisons are grouped: leave it out, or set "
                "preprocess.group_prompts=true"
            )
    if config.rules.truncate == "responses" and config.encode.answer_end == "line_break":
        raise RecipeError(
            "preprocess.rules.truncate='responses' keeps an answer's last token alone, and would cut the end of the "
            "turn before the line break of preprocess.encode.answer_end='line_break': set one of them otherwise"
        )
    check_written(config)
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise RecipeError(f"preprocess.sources has {repeated[0]!r} twice: give each source its own name")
    for source in all_sources(config):
        adapter_of(source.shape)
    for source in config.sources:  # a benchmark gives no metrics, and may be called anything
        if not _NAME.fullmatch(source.name):
            raise RecipeError(
                f"preprocess.sources: the name {source.name!r} is no name that a metric can have: use letters, "
                "digits, '_', '-', '.', ':' and spaces inside, at most 100 of them"
            )


def _inputs_of_unit(
    ref: InputRef,
    scan: FileScan,
    source: SourceConfig,
    config: PreprocessConfig,
    tokenizer: str,
    digests: dict[str, str],
) -> dict[str, Any]:
    """Everything that decides what a unit of this file writes."""
    raw = _without_empty(asdict(source))
    inputs: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "benchmark": ref.source >= len(config.sources),
        "source": {"name": source.name, **{key: raw[key] for key in _TRANSFORM_KEYS if key in raw}},
        "media_root": _portable(ref.media_root, config.data_root),
        "repeat": ref.repeat,
        "media": _media_settings(config),
        "encode": _encode_settings(config.encode),
        "shard_bytes": config.shard_bytes,
        "tokenizer": tokenizer,
        "file": scan.sha256,
    }
    archive = storage.archive_of(ref.media_root)
    if archive is not None:
        if archive.endswith((".tar.gz", ".tgz")):
            raise RecipeError(
                f"media_root of source {source.name!r} is in {archive!r}: a compressed tar can't be entered in the "
                "middle; unpack it, or make it a plain .tar or a .zip"
            )
        if archive not in digests:
            digests[archive] = storage.archive_digest(archive)
        inputs["media_archive"] = digests[archive]
    return inputs


_LATER = ("answer_start", "answer_end", "family", "critiques", "reasonings", "min_tiles", "max_tiles")


def _encode_settings(config: EncodeConfig) -> dict[str, Any]:
    """As a dict. A key that the first release did not have is left out where it says what that release did, so that
    what was prepared before keeps its address.
    """
    first = EncodeConfig()
    later = {key: getattr(first, key) for key in _LATER}
    if config.critiques == "none":
        later["critique_prompt"] = config.critique_prompt  # nobody reads it
    return {key: value for key, value in asdict(config).items() if later.get(key) != value}


def _media_settings(config: PreprocessConfig) -> dict[str, Any]:
    """Those that decide what is read; the others say what becomes of a run that could not read. Limits of video files,
    which the first release did not have, are left out where they say what they do by themselves.
    """
    first = MediaConfig()
    later = {key: getattr(first, key) for key in _VIDEO_LIMITS}
    found = {key: value for key, value in asdict(config.media).items() if key not in ("missing", "unavailable")}
    return {key: value for key, value in found.items() if later.get(key) != value}


def _without_empty(source: dict[str, Any]) -> dict[str, Any]:
    """The source without the keys that later versions added, where they decide nothing: addresses stay as they were."""
    later = {"ignored": [], **{name: getattr(FieldMap(), name) for name in _LATER_FIELDS}}
    source["fields"] = {key: value for key, value in source["fields"].items() if later.get(key, _OTHER) != value}
    for name in ("missing_critiques", "missing_reasonings"):
        if source[name] == "refuse":
            del source[name]
    for name in ("hub", "by_hand"):  # where files came from decides nothing: their content does
        del source[name]
    return source


def _limited(ranges: Sequence[RowRange], limit: int | None) -> list[RowRange]:
    """The ranges cut off after `limit` rows."""
    if limit is None:
        return list(ranges)
    return [
        RowRange(part.start, min(part.count, limit - part.start), part.offset) for part in ranges if part.start < limit
    ]


def _portable(url: str, data_root: str) -> str:
    """`url` without what differs between machines: relative to the data root, or else the file's name."""
    if "://" in url:
        return url
    path = os.path.relpath(url, data_root) if storage.is_local(data_root) else url
    return storage.name_of(url) if os.path.isabs(path) or path.startswith("..") else path
