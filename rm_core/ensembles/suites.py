"""A published benchmark under an ensemble: what its members gave each row, put together; what the gate looks at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_pipeline.errors import CorruptData
from rm_core.ensembles.ensemble import Ensemble
from rm_core.evaluation.suites.given import GivenRewards

__all__ = ["SuiteStanding", "combine_given"]


@dataclass(frozen=True, kw_only=True)
class SuiteStanding:
    """The main number of a model on a suite."""

    number: str
    """Its name."""
    value: float
    num_rows: int
    files: tuple[str, ...]
    """sha256 of the suite's files: numbers of other files are not compared."""

    @classmethod
    def of_document(cls, document: Mapping[str, Any], url: str) -> "SuiteStanding":
        """Of a suite's part of a ``suites.json``; `url` is for messages.

        Raises:
            CorruptData: it is something else.
        """
        try:
            name, number = next(iter(document["numbers"].items()))
            files = tuple(one["sha256"] for one in document["files"])
            return cls(number=name, value=float(number["value"]), num_rows=int(document["num_items"]), files=files)
        except (KeyError, TypeError, ValueError, StopIteration) as error:
            raise CorruptData(f"{url!r} holds no numbers of a suite ({type(error).__name__}: {error})") from error


def combine_given(ensemble: Ensemble, given: Mapping[str, Sequence[GivenRewards]]) -> list[GivenRewards]:
    """The ensemble's rewards of each row; a row that a member can't score has none, and that member's reason.

    Args:
        given: member's name -> the rows of the suite, in their order.

    Raises:
        RunError: a member's rewards are missing, or of one that is none.
    """
    members, rows = list(given), [list(row) for row in zip(*given.values(), strict=True)]
    scored = [row for row in rows if all(one.rewards is not None for one in row)]
    flat = {name: np.array([r for row in scored for r in row[m].rewards or ()]) for m, name in enumerate(members)}
    combined = iter(ensemble.combine(flat).rewards.tolist() if scored else ())
    found: list[GivenRewards] = []
    for row in rows:
        lost = next((f"{one.error} (member {name})" for name, one in zip(members, row, strict=True) if one.error), None)
        rewards = None if lost else tuple(next(combined) for _ in row[0].rewards or ())
        found.append(replace(row[0], rewards=rewards, error=lost or ""))
    return found
