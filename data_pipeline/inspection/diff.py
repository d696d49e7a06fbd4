"""What changed between two manifests: settings, inputs, counts, and every Comparison by its content.

Comparisons are matched by `content_key`, so a record that moved to another row or file is the same one.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.dataset.manifest import Counts, InputFile, Manifest

__all__ = ["Change", "Count", "DataDiff", "Group", "compare"]

MAX_EXAMPLES = 10
ABSENT = "absent"
"""How a Comparison that one side doesn't have is written."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A value before and after; None: it was not there."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number before and after."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Comparisons that changed in the same way, for example from ``train`` to ``near_duplicate``.

    Attributes:
        kind: ``added``, ``removed``, ``refiltered`` (kept or refused otherwise), ``moved`` (to the other split),
            ``repeated`` (shown another number of times), ``cut`` (other lengths), ``source`` (counted for another one).
        before: what the first manifest says: a split, a reason of refusal, a number, or ``absent``.
        after: what the second one says.
        count: how many.
        examples: ``source/id`` of the first ones.
    """

    kind: str
    before: str
    after: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DataDiff:
    """All that differs; nothing in any list means that the two are the same data."""

    settings: tuple[Change, ...]
    inputs: tuple[Change, ...]
    counts: tuple[Count, ...]
    comparisons: tuple[Group, ...]
    files: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.settings or self.inputs or self.counts or self.comparisons or self.files)

    def to_json(self) -> dict[str, Any]:
        return {"equal": self.is_empty, **asdict(self)}


def compare(before: Manifest, rows_before: pa.Table, after: Manifest, rows_after: pa.Table) -> DataDiff:
    """Compare two manifests and their rows, each with all rows in `ROWS_SCHEMA`."""
    made_by = [
        ("code version", before.code, after.code),
        ("schema version", before.schema_version, after.schema_version),
        ("tokenizer (sha256)", before.tokenizer, after.tokenizer),
    ]
    settings = [Change(name=name, before=old, after=new) for name, old, new in made_by if old != new]
    return DataDiff(
        settings=(*settings, *_changes(_flat(before.config), _flat(after.config))),
        inputs=tuple(_inputs(before.inputs, after.inputs)),
        counts=tuple(_counts(before.counts, after.counts)),
        comparisons=tuple(_comparisons(rows_before, rows_after)),
        files=tuple(_files(before, after)),
    )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    names = dict.fromkeys([*before, *after])
    found = [Change(name=name, before=before.get(name), after=after.get(name)) for name in names]
    return [change for change in found if change.before != change.after]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; a source by its own name, so that another order of sources shows as such."""
    if isinstance(value, dict) and value:
        return {key: leaf for part, inner in value.items() for key, leaf in _flat(inner, _dotted(name, part)).items()}
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        flat = {_dotted(name, "order"): [one["name"] for one in value]} if len(value) > 1 else {}
        for one in value:
            flat |= _flat(one, _dotted(name, str(one["name"])))
        return flat
    return {name: value}


def _dotted(name: str, part: str) -> str:
    return f"{name}.{part}" if name else part


def _inputs(before: Iterable[InputFile], after: Iterable[InputFile]) -> list[Change]:
    return _changes({_file_name(one): _file(one) for one in before}, {_file_name(one): _file(one) for one in after})


def _file_name(one: InputFile) -> str:
    return f"{one.source}: {one.path}"


def _file(one: InputFile) -> str:
    return f"{one.rows:,} rows, {one.bytes:,} bytes, sha256 {one.sha256[:12]}"


def _counts(before: Counts, after: Counts) -> list[Count]:
    old, new = _numbers(before), _numbers(after)
    names = dict.fromkeys([*old, *new])
    found = [Count(name=name, before=old.get(name, 0), after=new.get(name, 0)) for name in names]
    return [count for count in found if count.before != count.after]


def _numbers(counts: Counts) -> dict[str, int]:
    numbers = {"seen": counts.seen, "kept": counts.kept, "refused": counts.refused}
    numbers |= {f"kept for {split}": number for split, number in counts.by_split.items()}
    numbers |= {f"refused as {reason}": number for reason, number in counts.refused_by_reason.items()}
    for name, one in counts.by_source.items():
        numbers |= {f"{name}: seen": one.seen, f"{name}: kept": one.kept, f"{name}: refused": one.refused}
        numbers |= {f"{name}: refused as {reason}": number for reason, number in one.refused_by_reason.items()}
        numbers[f"{name}: shown in an epoch"] = one.shown
        numbers[f"{name}: groups of one prompt"] = one.groups
        numbers |= {f"{name}: records whose {field} was not read": number for field, number in one.unread.items()}
    for name, benchmark in counts.benchmarks.items():
        numbers |= {f"benchmark {name}: {part}": number for part, number in asdict(benchmark).items()}
    return numbers


def _files(before: Manifest, after: Manifest) -> list[Change]:
    """Shards by their bytes; the names of rows and quarantine follow the address and say nothing new."""
    old, new = ({shard.name: shard for shard in one.shards} for one in (before, after))
    shared = [name for name in old if old[name] == new.get(name)]
    changes = []
    if len(shared) < max(len(old), len(new)):
        changes.append(Change(name="shards", before=len(old), after=len(new)))
        changes.append(Change(name="shards of both", before=len(shared), after=len(shared)))
    if not changes and before.shards != after.shards:
        changes.append(Change(name="order of the shards", before="as it was", after="another"))
    if not changes and before.rows_file.sha256 != after.rows_file.sha256:
        changes.append(Change(name="rows", before=before.rows_file.sha256[:12], after=after.rows_file.sha256[:12]))
    if before.quarantine_file.sha256 != after.quarantine_file.sha256:
        old_hash, new_hash = before.quarantine_file.sha256[:12], after.quarantine_file.sha256[:12]
        changes.append(Change(name="quarantine", before=old_hash, after=new_hash))
    return changes


def _comparisons(before: pa.Table, after: pa.Table) -> list[Group]:
    joined = _one_a_key(before, "before").join(
        _one_a_key(after, "after"), keys="content_key", join_type="full outer", use_threads=False
    )
    joined = joined.sort_by([("place_after", "ascending"), ("place_before", "ascending")])
    old, new = (pc.fill_null(joined[f"state_{side}"], ABSENT) for side in ("before", "after"))
    joined = joined.append_column("old", old).append_column("new", new)
    changed = joined.filter(pc.not_equal(joined["old"], joined["new"]))
    groups = _grouped(changed, _kind, "old", "new")
    same = joined.filter(pc.and_(pc.equal(old, new), pc.not_equal(old, ABSENT)))
    same = same.append_column("cut_before", _longer_or_shorter(same, "before", "after"))
    same = same.append_column("cut_after", _longer_or_shorter(same, "after", "before"))
    for kind, column in (("repeated", "repeats"), ("cut", "cut"), ("source", "source")):
        names = f"{column}_before", f"{column}_after"
        differs = same.filter(pc.not_equal(same[names[0]], same[names[1]]))
        groups += _grouped(differs, lambda _old, _new, kind=kind: kind, *names)
    order = ("added", "removed", "refiltered", "moved", "repeated", "cut", "source")
    return sorted(groups, key=lambda group: (order.index(group.kind), -group.count, group.before, group.after))


def _longer_or_shorter(rows: pa.Table, side: str, other: str) -> pa.Array:
    """How the tokens of `side` compare with those of the other one; "" where they are as many."""
    mine, theirs = rows[f"tokens_{side}"], rows[f"tokens_{other}"]
    return pc.if_else(pc.greater(mine, theirs), "longer", pc.if_else(pc.less(mine, theirs), "shorter", ""))


def _kind(old: str, new: str) -> str:
    if ABSENT in (old, new):
        return "added" if old == ABSENT else "removed"
    return "moved" if {old, new} <= {"train", "heldout"} else "refiltered"


def _grouped(rows: pa.Table, kind_of: Any, old: str, new: str) -> list[Group]:
    """One group for each pair of values in columns `old` and `new`."""
    groups = []
    for pair in rows.group_by([old, new], use_threads=False).aggregate([([], "count_all")]).to_pylist():
        members = rows.filter(pc.and_(pc.equal(rows[old], pair[old]), pc.equal(rows[new], pair[new])))
        examples = [
            f"{row['source_after'] or row['source_before']}/{row['id_after'] or row['id_before']}"
            for row in members.slice(0, MAX_EXAMPLES).to_pylist()
        ]
        groups.append(
            Group(
                kind=kind_of(str(pair[old]), str(pair[new])),
                before=str(pair[old]),
                after=str(pair[new]),
                count=pair["count_all"],
                examples=tuple(examples),
            )
        )
    return groups


def _one_a_key(rows: pa.Table, side: str) -> pa.Table:
    """One row a content: the kept one, where there is one, else the first."""
    kept = pc.equal(rows["mark"], "")
    tokens = rows["prefix_length"].to_numpy().astype(np.int64)
    responses = rows["response_lengths"]
    np.add.at(tokens, pc.list_parent_indices(responses).to_numpy(), pc.list_flatten(responses).to_numpy())
    table = pa.table(
        {
            "content_key": rows["content_key"],
            f"id_{side}": rows["id"],
            f"source_{side}": rows["source"],
            f"state_{side}": pc.if_else(kept, rows["split"], rows["mark"]),
            f"repeats_{side}": pc.if_else(kept, rows["repeats"], 0),
            f"tokens_{side}": pc.if_else(kept, pa.array(tokens), 0),
            f"place_{side}": np.arange(len(rows)),
            "refused": pc.invert(kept),
        }
    )
    table = table.sort_by([("refused", "ascending"), (f"place_{side}", "ascending")])
    table = table.append_column("order", pa.array(np.arange(len(rows))))
    first = table.group_by("content_key", use_threads=False).aggregate([("order", "min")])["order_min"]
    return table.take(first).drop_columns(["refused", "order"])
