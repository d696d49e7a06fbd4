"""Rewards of a suite's rows as JSON lines, in any order: what our scoring writes, or what somebody else measured.

::

    {"suite": "vl_rewardbench", "index": 0, "rewards": [1.5, -0.25]}
    {"suite": "vl_rewardbench", "index": 1, "rewards": null, "error": "unparsable: no verdict"}

``index`` is the row of the suite, from 0 over its sorted files; ``rewards`` has a number for each response in the row's
own order (RM-Bench: the three right ones, then the three wrong ones). Null is an answer that could not be had: it is
wrong, and counted by the word before the colon. Other fields are those of our own lines.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline import storage
from data_pipeline.errors import MissingInput, RecordError, UserError
from data_pipeline.sources.readers.files import read_rows
from rm_core.evaluation.suites.files import SuiteData

__all__ = ["GivenRewards", "read_given"]


@dataclass(frozen=True, slots=True)
class GivenRewards:
    """What is known of one row.

    Attributes:
        rewards: of each response; None where there are none.
        error: why; "" where there are.
        pictures: sha256 of the pictures that were read.
        hashes: perceptual hashes parallel to `pictures`, 0 for a flat one.
        missing_pictures: pictures that the row was scored without.
    """

    rewards: tuple[float, ...] | None
    error: str = ""
    pictures: tuple[str, ...] = ()
    hashes: tuple[int, ...] = ()
    missing_pictures: int = 0


def read_given(url: str, suites: Sequence[SuiteData]) -> dict[str, list[GivenRewards]]:
    """The rewards of all rows of the suites, by a suite's name, in the order of its rows.

    Lines of other suites are passed over.

    Raises:
        MissingInput: there is no such file.
        UserError: a line says nothing that can be used, or a row has no line or more than one; names it.
    """
    if not storage.exists(url):
        raise MissingInput(f"evaluate.rewards={url!r} is not there: give a file of JSON lines (suite, index, rewards)")
    known = {data.suite.name: data for data in suites}
    found: dict[str, dict[int, GivenRewards]] = {name: {} for name in known}
    for line, record in read_rows(url):
        where = f"line {line + 1} of {url}"
        if isinstance(record, RecordError):
            raise UserError(f"{where} holds no rewards: {record}")
        name = record.get("suite")
        if not isinstance(name, str):
            raise UserError(f"{where} has the suite {name!r}: give one of {', '.join(known)}")
        if name not in known:
            continue
        index, given = _given(record, known[name], where)
        if index in found[name]:
            raise UserError(f"{where} gives row {index} of {name} again: every row has one line, whatever its id")
        found[name][index] = given
    return {name: _all_rows(rows, known[name], url) for name, rows in found.items()}


def _all_rows(rows: Mapping[int, GivenRewards], data: SuiteData, url: str) -> list[GivenRewards]:
    missing = [item.index for item in data.items if item.index not in rows]
    if missing:
        raise UserError(
            f"{url} has no line for {len(missing):,} of {len(data.items):,} rows of {data.suite.name}, first for row "
            f"{missing[0]}: an answer that could not be had is a line with rewards null and an error"
        )
    return [rows[index] for index in range(len(data.items))]


def _given(record: Mapping[str, Any], data: SuiteData, where: str) -> tuple[int, GivenRewards]:
    index, rewards = record.get("index"), record.get("rewards")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(data.items):
        raise UserError(f"{where} has the index {index!r}: rows of {data.suite.name} are 0 to {len(data.items) - 1}")
    if rewards is None:
        return index, GivenRewards(None, str(record.get("error") or "not_given"), **_of_pictures(record, where))
    wanted = len(data.items[index].ranks)
    if not isinstance(rewards, list) or len(rewards) != wanted or not all(map(_is_reward, rewards)):
        raise UserError(
            f"{where} has the rewards {str(rewards)[:80]}: row {index} of {data.suite.name} needs {wanted} finite "
            "numbers"
        )
    return index, GivenRewards(tuple(map(float, rewards)), **_of_pictures(record, where))


def _is_reward(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON knows integers of any length
        return False


def _of_pictures(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    pictures, hashes = record.get("pictures") or [], record.get("hashes") or []
    missing = record.get("missing_pictures") or 0
    if not (isinstance(missing, int) and _all(pictures, str) and _all(hashes, int) and len(hashes) == len(pictures)):
        raise UserError(
            f"{where}: pictures, hashes and missing_pictures are not as our scoring writes them; leave them out"
        )
    return {"pictures": tuple(pictures), "hashes": tuple(hashes), "missing_pictures": missing}


def _all(values: object, kind: type) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str) and all(isinstance(one, kind) for one in values)
