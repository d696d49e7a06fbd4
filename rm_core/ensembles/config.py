"""What a recipe may say about an ensemble, and about the gate that a new champion has to pass."""

import re
from collections import Counter
from dataclasses import dataclass, field

from data_pipeline.errors import RecipeError
from rm_core.ensembles.combine import RULES

__all__ = ["AVERAGE", "EnsembleConfig", "GateConfig", "MemberConfig", "check_ensemble_config"]

AVERAGE = "average"
"""The rule that makes one model of members of one shape; the others combine rewards."""
_PLAIN = "of letters, digits, '_', '-' and '.': names in MLflow and of files are made of it"


@dataclass(kw_only=True)
class MemberConfig:
    """One reward model of an ensemble."""

    name: str = ""
    """What reports and errors call it; unique in the ensemble."""
    model: str = ""
    """An exported reward model: a local or ``s3://`` folder, ``runs:/RUN_ID``, ``models:/NAME/VERSION`` or
    ``models:/NAME@ALIAS``."""
    text_only: bool = False
    """Ask it about Comparisons without images alone."""
    data: str | None = None
    """Prepared data of the same records in this member's own tokens, for a model with another tokenizer; unset:
    `ensemble.data`."""
    share: float = 1.0
    """Its weight in the rule ``average``, above 0; the shares are scaled to sum to 1."""


@dataclass(kw_only=True)
class GateConfig:
    """What a candidate has to show, on Comparisons that it was not fitted on, to become the champion."""

    min_comparisons: int = 200
    """Judged Comparisons, at least."""
    min_gain: float = 0.0
    """Pair accuracy, 0 to 1, that the whole interval of the gain over the champion has to lie above."""
    confidence: float = 0.95
    """Coverage of that interval, and 1 less the highest p-value of the paired test, above 0 and below 1."""
    bootstrap_samples: int = 1000
    """Resamples of the Comparisons behind the interval."""
    max_group_loss: float = 0.02
    """Pair accuracy, 0 to 1, that no source and no modality may lose against the champion."""
    min_group_comparisons: int = 30
    """A source or modality with fewer judged Comparisons is not looked at: its accuracy is chance."""
    max_calibration_loss: float = 0.02
    """By how much the expected calibration error, 0 to 1, may be above the champion's."""


@dataclass(kw_only=True)
class EnsembleConfig:
    """Several reward models as one registered model (`basereward ensemble`)."""

    members: list[MemberConfig] = field(default_factory=list)
    """The models; one alone gets a scale and a temperature."""
    rule: str = "mean"
    """How rewards are put together: mean, accuracy, confidence, minimum, median, cautious; or average, of weights."""
    penalty: float = 1.0
    """Standard deviations over the members that the rule ``cautious`` takes off, at or above 0."""
    standardise: bool = True
    """Bring each member to mean 0 and standard deviation 1 first; without it the largest rewards decide."""
    temperature: float | None = None
    """Margins divided by it are log-odds, above 0; unset: fitted."""
    data: str = "shards"
    """The folder that preprocessing wrote."""
    split: str = "heldout"
    """The part of the data to fit and to judge on: heldout or train."""
    judge_share: float = 0.5
    """Share of the split's groups, by hash, that the result is judged on; it is fitted on others, above 0, below 1."""
    sample: int | None = 1000
    """Comparisons that scales, weights and temperature are fitted on, drawn by hash; unset: all that are not judged."""
    seed: int = 0
    """Seed of both choices and of the resampling."""
    token_budget: int = 8192
    """Tokens a packed row holds at most, here and where the registered model scores."""
    patch_budget: int = 32768
    """Vision patches (14 x 14 pixels) a packed row holds at most, here and where the registered model scores."""
    confidence: float = 0.95
    """Coverage of the report's intervals, above 0 and below 1."""
    bootstrap_samples: int = 1000
    """Resamples of the Comparisons behind each of them."""
    register_as: str = "ensemble"
    """The registered model in MLflow that gets a new version, with the alias ``candidate``."""
    output: str = "ensemble"
    """The folder for the report, the members' rewards and the model that is registered; local or shared."""
    gate: GateConfig = field(default_factory=GateConfig)
    """What ``basereward promote`` asks of it."""


def check_ensemble_config(config: EnsembleConfig) -> None:
    """Refuse what can't be meant.

    Raises:
        RecipeError: a value is out of range, or members have no name, no model, or one name twice.
    """
    if not config.members:
        raise RecipeError("ensemble.members is empty: name at least one, such as {name: large, model: models:/rm/3}")
    for index, member in enumerate(config.members):
        if not member.name or not member.model:
            raise RecipeError(
                f"ensemble.members[{index}] needs `name:` and `model:`, it has {member.name!r}, {member.model!r}"
            )
        _require(_is_plain(member.name), f"members[{index}].name", member.name, _PLAIN)
        _require(member.share > 0, f"members[{index}].share", member.share, "above 0")
    names = Counter(member.name for member in config.members)
    if twice := [name for name, count in names.items() if count > 1]:
        raise RecipeError(f"ensemble.members has {twice[0]!r} twice: a member's name is its own")
    _require(_is_plain(config.register_as), "register_as", config.register_as, _PLAIN)
    known = (*RULES, AVERAGE)
    _require(config.rule in known, "rule", config.rule, f"one of {', '.join(known)}")
    _require(config.rule != AVERAGE or len(config.members) > 1, "rule", config.rule, "for two members or more")
    _require(config.penalty >= 0, "penalty", config.penalty, "at or above 0")
    _require(config.temperature is None or config.temperature > 0, "temperature", config.temperature, "above 0")
    _require(0 < config.judge_share < 1, "judge_share", config.judge_share, "above 0 and below 1")
    _require(config.sample is None or config.sample > 0, "sample", config.sample, "above 0")
    _require(0 < config.confidence < 1, "confidence", config.confidence, "above 0 and below 1")
    _require(0 < config.gate.confidence < 1, "gate.confidence", config.gate.confidence, "above 0 and below 1")


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+", name, re.ASCII) is not None


def _require(holds: bool, key: str, value: object, wanted: str) -> None:
    if not holds:
        raise RecipeError(f"ensemble.{key}={value!r} must be {wanted}")
