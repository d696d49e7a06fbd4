"""Kept Comparisons that ask the same, as one grouped Comparison; the last filter, after all others have decided.

    kept rows --one source, split, cut and number of repeats, prompts alike by signals--> candidates
              --same tokens and pictures of the prompt, read from the shards-----------> one prompt's records
              --in the order of contents, into the first of few open groups with room--> GROUPS_SCHEMA

A group holds every different response once, and of each record which of them it judges and how. So no decision of a
filter is changed: a record is refused, split, capped and repeated by itself, and the groups are made of what is left.
Shards are opened for rows that share a prompt only, and no image is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.identities import Identity, identities_of
from data_pipeline.dataset.shards import ShardInfo, read_table
from data_pipeline.dataset.tables import GROUPS_SCHEMA
from data_pipeline.filtering.columns import Ints, codes, lists, numbers

__all__ = ["Group", "group_records", "groups_table"]

MAX_RECORDS = 1000
"""Of one group. With the most responses that a recipe may ask for they judge 64,000, which a plan can count."""
_OPEN = 8
"""Groups of one prompt that are tried for a record; a million records of one prompt cost no more than others."""
_SAME = ("id", "source", "split", "repeats", "prefix_length")
_LISTS = ("response_lengths", "image_patches", "span_frames", "ranks")


@dataclass(slots=True)
class Group:
    """Records that become one Comparison.

    Attributes:
        records: rows of the table of rows.
        judged: for each record, which of the group's responses its own are.
        lengths: tokens of each response.
        spans: images and videos in each.
        places: (record, place in it) where each response first stands.
    """

    records: list[int] = field(default_factory=list)
    judged: list[list[int]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    spans: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)

    def has_room(self, identity: Identity, lengths: Sequence[int], *, responses: int, tokens: int) -> bool:
        """Whether the record's new responses fit into so many responses and tokens of responses."""
        new = {key: length for key, length in zip(identity.responses, lengths, strict=True) if key not in self._known}
        return (
            len(self.records) < MAX_RECORDS
            and len(self._known) + len(new) <= responses
            and sum(self.lengths) + sum(new.values()) <= tokens
        )

    def add(self, row: int, identity: Identity, lengths: Sequence[int]) -> None:
        """One more record; its equal responses become one."""
        judged = []
        for place, (key, length, spans) in enumerate(zip(identity.responses, lengths, identity.spans, strict=True)):
            if key not in self._known:
                self._known[key] = len(self.lengths)
                self.lengths.append(length)
                self.spans.append(spans)
                self.places.append((row, place))
            judged.append(self._known[key])
        self.records.append(row)
        self.judged.append(judged)


def group_records(
    rows: pa.Table, signals: pa.Table, shards: Sequence[ShardInfo], config: PreprocessConfig
) -> list[Group]:
    """The groups of several records; a pure function of contents, whatever the order of rows.

    Args:
        rows: what filtering decided, in `ROWS_SCHEMA`.
        signals: parallel, in `UNIT_ROWS_SCHEMA`.
        shards: of the manifest, which `rows` counts.
    """
    classes = _classes(rows, signals)
    candidates = np.flatnonzero(classes >= 0)
    identities = _identities(rows, signals, candidates, shards, config)
    prompts: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for row in candidates.tolist():
        prompts[int(classes[row]), identities[row].prompt].append(row)
    columns = rows.select(["content_key", "prefix_length", "response_lengths"]).take(pa.array(candidates)).to_pylist()
    decided = dict(zip(candidates.tolist(), columns, strict=True))
    found: list[Group] = []
    for members in prompts.values():
        members.sort(key=lambda row: decided[row]["content_key"])
        room = config.group_max_tokens - decided[members[0]]["prefix_length"]
        lengths = {row: decided[row]["response_lengths"] for row in members}
        found += _packed(members, identities, lengths, responses=config.group_max_responses, tokens=room)
    return [group for group in found if len(group.records) > 1]


def groups_table(rows: pa.Table, groups: Sequence[Group]) -> pa.Table:
    """All kept rows in groups, in the order of the first record of each in the table: those of one record too."""
    grouped = np.array(sorted(row for group in groups for row in group.records), dtype=np.int64)
    kept = np.flatnonzero(pc.equal(rows["mark"], "").to_numpy())
    alone = np.setdiff1d(kept, grouped, assume_unique=True)
    found = rows.select([*_SAME, *_LISTS]).take(pa.array(grouped)).to_pylist()
    records = dict(zip(grouped.tolist(), found, strict=True))
    together = pa.Table.from_pylist([_together(group, records) for group in groups], schema=GROUPS_SCHEMA)
    firsts = np.concatenate([alone, np.array([min(group.records) for group in groups], dtype=np.int64)])
    return pa.concat_tables([_alone(rows, alone), together]).take(pa.array(np.argsort(firsts)))


def _alone(rows: pa.Table, alone: Ints) -> pa.Table:
    """Groups of one record, without a Python object a row."""
    chosen = rows.select([*_SAME, *_LISTS]).take(pa.array(alone))
    counts = lists(chosen["ranks"]).counts
    starts, one = np.concatenate(([0], np.cumsum(counts))), np.arange(len(alone) + 1)
    made = {
        "records": _list_column(one, alone),
        "judged_counts": _list_column(one, counts),
        "judged": _list_column(starts, np.arange(starts[-1]) - np.repeat(starts[:-1], counts)),
        "response_spans": _list_column(np.zeros_like(one), np.zeros(0, dtype=np.int64)),
    }
    columns = [made[field.name] if field.name in made else chosen[field.name] for field in GROUPS_SCHEMA]
    return pa.table(columns, schema=GROUPS_SCHEMA)


def _list_column(offsets: Ints, values: Ints) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))


def _together(group: Group, records: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    first = records[group.records[0]]
    found = {name: first[name] for name in _SAME} | {
        "response_lengths": group.lengths,
        "response_spans": group.spans,
        "records": group.records,
        "judged_counts": [len(judged) for judged in group.judged],
        "judged": [place for judged in group.judged for place in judged],
        "ranks": [rank for row in group.records for rank in records[row]["ranks"]],
    }
    for name in ("image_patches", "span_frames"):
        found[name] = list(_spans_of(group, records, name))
    return found


def _spans_of(group: Group, records: Mapping[int, dict[str, Any]], name: str) -> Iterator[int]:
    """One number a span: those of the prompt, then of each response, from the record where it first stands."""
    own = {
        row: [group.spans[place] for place in judged] for row, judged in zip(group.records, group.judged, strict=True)
    }
    first = group.records[0]
    yield from records[first][name][: len(records[first][name]) - sum(own[first])]
    for (row, place), count in zip(group.places, group.spans, strict=True):
        before = len(records[row][name]) - sum(own[row]) + sum(own[row][:place])
        yield from records[row][name][before : before + count]


def _classes(rows: pa.Table, signals: pa.Table) -> Ints:
    """int64 [N] equal for kept rows that may be one group, as far as no shard is asked; -1 for all others."""
    found = np.full(len(rows), -1, dtype=np.int64)
    kept = np.flatnonzero(pc.equal(rows["mark"], "").to_numpy())
    if not len(kept):
        return found
    columns = [codes(column)[0] for column in (rows["source"], rows["split"], signals["prompt_key"])]
    columns += [numbers(rows[name]).astype(np.int64) for name in ("repeats", "dropped_turns", "prefix_length")]
    table = np.stack(columns, axis=1)[kept]
    _, inverse, counts = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    shared = counts[inverse] > 1
    found[kept[shared]] = inverse[shared]
    return found


def _identities(
    rows: pa.Table, signals: pa.Table, candidates: Ints, shards: Sequence[ShardInfo], config: PreprocessConfig
) -> dict[int, Identity]:
    """Of each candidate row, read shard by shard."""
    shard, place = numbers(rows["shard"])[candidates], numbers(rows["row"])[candidates]
    in_prompt = lists(signals["turn_images"]).reduced(np.add, 0)[candidates]

    def of_shard(number: int) -> list[tuple[int, Identity]]:
        own = np.flatnonzero(shard == number)
        info = shards[number].files(config.output)[0]
        keys = signals["image_keys"].take(pa.array(candidates[own])).to_pylist()
        found = identities_of(read_table(info.url, info.sha256), place[own].tolist(), keys, in_prompt[own].tolist())
        return list(zip(candidates[own].tolist(), found, strict=True))

    parts = storage.read_each(of_shard, np.unique(shard).tolist())
    return dict(pair for part in parts for pair in part)


def _packed(
    members: Sequence[int],
    identities: dict[int, Identity],
    lengths: dict[int, list[int]],
    *,
    responses: int,
    tokens: int,
) -> list[Group]:
    """One prompt's records, each into the first of the open groups that has room."""
    found: list[Group] = []
    for row in members:
        identity = identities[row]
        group = next(
            (one for one in found[-_OPEN:] if one.has_room(identity, lengths[row], responses=responses, tokens=tokens)),
            None,
        )
        if group is None:
            group = Group()
            found.append(group)
        group.add(row, identity, lengths[row])
    return found
