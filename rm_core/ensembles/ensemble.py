"""An ensemble as plain numbers (what `fit` finds, a registered model keeps, scoring needs), and how rewards combine.

Letters of shapes: M members, R responses.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import CorruptData, RunError

__all__ = ["RULES", "Combined", "Ensemble", "Member", "Rule", "combine"]

Floats = npt.NDArray[np.float64]


Rule = Literal["mean", "accuracy", "confidence", "minimum", "median", "cautious"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""mean, accuracy, confidence: weighted means; weights are alike, held-out accuracies, or held-out margins. Source:
BaseReward, arXiv 2509.16127, Table 7.
minimum, median: over the members.
cautious: the mean less `penalty` times the spread. Source: Coste et al., arXiv 2310.02743, there with the variance.
"""


@dataclass(frozen=True, kw_only=True)
class Combined:
    """What an ensemble gives each response."""

    rewards: Floats
    """[R] higher is better."""
    spread: Floats
    """[R] standard deviation over the members that read the response, by their weights; 0 where one reads it."""
    num_members: npt.NDArray[np.int64]
    """[R] members that read it."""


def combine(standard: Floats, weights: Floats, rule: Rule, penalty: float = 1.0) -> Combined:
    """One reward a response.

    Args:
        standard: [M, R] rewards on one scale; NaN where a member does not read the response.
        weights: [M] at or above 0; of the members that read a response they are scaled to sum to 1.
        rule: how to combine; minimum and median do not look at the weights.
        penalty: standard deviations that the cautious rule takes off.

    Raises:
        RunError: a response that no member with a weight reads.
    """
    reads = ~np.isnan(standard)
    share = weights[:, None] * reads
    total = share.sum(axis=0)
    if not (total > 0).all():
        unread = int((total <= 0).sum())
        raise RunError(
            f"{unread} of {len(total)} responses are read by no member: an ensemble for images needs a member that "
            "sees them"
        )
    share = share / total
    filled = np.where(reads, standard, 0.0)
    mean = (share * filled).sum(axis=0)
    spread = np.sqrt((share * np.where(reads, standard - mean, 0.0) ** 2).sum(axis=0))
    if rule == "minimum":
        rewards = np.nanmin(standard, axis=0)
    elif rule == "median":
        rewards = np.nanmedian(standard, axis=0)
    else:
        rewards = mean - penalty * spread if rule == "cautious" else mean
    return Combined(rewards=rewards, spread=spread, num_members=reads.sum(axis=0))


FORMAT_VERSION = 1


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
