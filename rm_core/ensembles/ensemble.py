"""An ensemble as plain numbers: what `fit` finds, what a registered model keeps, what scoring needs.

Letters of shapes: M members, R responses.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import CorruptData, RunError
from rm_core.ensembles.combine import RULES, Combined, Rule, combine

__all__ = ["Ensemble", "Member"]

FORMAT_VERSION = 1
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One reward model of an ensemble, and what was measured of it on held-out Comparisons."""

    name: str
    """Unique in the ensemble."""
    text_only: bool
    """It is asked about Comparisons without images alone."""
    mean: float
    """Of its rewards, over responses."""
    spread: float
    """Their standard deviation."""
    weight: float
    """Before it is scaled with the others'."""
    accuracy: float
    """Share of the ordered pairs that it ranks as the label does; equal rewards count half."""
    margin: float
    """Mean standardised reward of the better response less that of the worse."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Members and how they are put together."""

    members: tuple[Member, ...]
    rule: Rule
    penalty: float
    """Standard deviations that the cautious rule takes off."""
    temperature: float
    """Margins divided by it are the log-odds of being right."""
    num_comparisons: int
    """Held-out Comparisons that all this was measured on."""

    def combine(self, rewards: Mapping[str, Floats]) -> Combined:
        """Put together what the members gave.

        Args:
            rewards: name -> [R] rewards as the member's model gives them; NaN for what it is not asked about.

        Raises:
            RunError: a member's rewards are missing, or of one that is none.
        """
        if odd := rewards.keys() ^ {member.name for member in self.members}:
            raise RunError(f"an ensemble of {', '.join(member.name for member in self.members)}: {sorted(odd)} differ")
        standard = np.stack([(rewards[member.name] - member.mean) / member.spread for member in self.members])
        weights = np.array([member.weight for member in self.members])
        return combine(standard, weights, self.rule, self.penalty)

    def to_json(self) -> dict[str, Any]:
        """As dicts, lists and numbers."""
        return {"format_version": FORMAT_VERSION} | asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Ensemble":
        """What `to_json` gave.

        Raises:
            CorruptData: it is something else.
        """
        version = content.get("format_version")
        if version != FORMAT_VERSION or content.get("rule") not in RULES:
            raise CorruptData(
                f"no ensemble of format {FORMAT_VERSION}: format_version {version!r}, rule {content.get('rule')!r}"
            )
        fields = {name: value for name, value in content.items() if name not in ("format_version", "members")}
        return cls(members=tuple(Member(**member) for member in content["members"]), **fields)
