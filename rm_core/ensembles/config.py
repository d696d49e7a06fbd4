"""What a recipe may say about an ensemble, and about the gate that a new champion has to pass."""

import re
from collections import Counter
from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, check_bounds, one_of
from data_pipeline.errors import RecipeError
from rm_core.ensembles.ensemble import RULES
from rm_core.evaluation.names import SUITE_NAMES
from rm_core.generation.config import CritiquesConfig, VerdictsConfig, check_critiques_config

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
    critiques: CritiquesConfig = field(default_factory=CritiquesConfig)
    """Of a critic, where its critiques come from, while it is measured and wherever the ensemble scores."""
    verdicts: VerdictsConfig = field(default_factory=VerdictsConfig)
    """Which pairs of responses a judge is asked about, and how one that reasons writes, both times."""
    share: float = bounded(1.0, above=0)
    """Its weight in the rule ``average``, above 0; the shares are scaled to sum to 1."""


@dataclass(kw_only=True)
class GateConfig:
    """What a candidate has to show, on Comparisons that it was not fitted on, to become the champion."""

    min_comparisons: int = bounded(200, at_least=0)
    """Judged Comparisons, at least."""
    min_gain: float = bounded(0.0, at_least=-1, at_most=1)
    """Pair accuracy, -1 to 1, that the whole interval of the gain over the champion has to lie above."""
    confidence: float = bounded(0.95, above=0, below=1)
    """Coverage of that interval, and 1 less the highest p-value of the paired test, above 0 and below 1."""
    bootstrap_samples: int = bounded(1000, at_least=1)
    """Resamples of the Comparisons behind the interval."""
    max_group_loss: float = bounded(0.02, at_least=0, at_most=1)
    """Pair accuracy, 0 to 1, that no source and no modality may lose against the champion."""
    min_group_comparisons: int = bounded(30, at_least=0)
    """A source or modality with fewer judged Comparisons is not looked at: its accuracy is chance."""
    max_calibration_loss: float = bounded(0.02, at_least=0, at_most=1)
    """By how much the expected calibration error, 0 to 1, may be above the champion's."""
    suites: dict[str, float] = bounded({}, at_least=0, at_most=1)
    """Published benchmarks that the candidate must have been measured on (`ensemble.suites`), by name, and the least
    that the main number of each may be, 0 to 1."""
    max_suite_loss: float = bounded(0.02, at_least=0, at_most=1)
    """How much of a benchmark's main number, 0 to 1, may be lost against a champion that was measured on its rows."""


@dataclass(kw_only=True)
class EnsembleConfig:
    """Several reward models as one registered model (`basereward ensemble`)."""

    members: list[MemberConfig] = field(default_factory=list)
    """The models; one alone gets a scale and a temperature."""
    rule: str = one_of("mean", (*RULES, AVERAGE))
    """How rewards are put together: mean, accuracy, confidence, minimum, median, cautious; or average, of weights."""
    penalty: float = bounded(1.0, at_least=0)
    """Standard deviations over the members that the rule ``cautious`` takes off, at or above 0."""
    standardise: bool = True
    """Bring each member to mean 0 and standard deviation 1 first; without it the largest rewards decide."""
    temperature: float | None = bounded(None, above=0)
    """Margins divided by it are log-odds, above 0; unset: fitted."""
    data: str = "shards"
    """The folder that preprocessing wrote."""
    split: str = one_of("heldout", ("heldout", "train"))
    """The part of the data to fit and to judge on: heldout or train."""
    judge_share: float = bounded(0.5, above=0, below=1)
    """Share of the split's groups, by hash, that the result is judged on; it is fitted on others, above 0, below 1."""
    sample: int | None = bounded(1000, at_least=1)
    """Comparisons that scales, weights and temperature are fitted on, drawn by hash; unset: all that are not judged."""
    seed: int = bounded(0, at_least=0)
    """Seed of both choices and of the resampling."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row holds at most, here and where the registered model scores."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most, here and where the registered
    model scores."""
    attention: str = one_of("auto", ("auto", "sdpa", "flex", "flash"))
    """Attention kernel: auto (flex on a GPU, else sdpa), sdpa, flex or flash."""
    suites: list[str] = one_of([], SUITE_NAMES)
    """Published benchmarks that the result is measured on too; the section `evaluate` says where they are."""
    confidence: float = bounded(0.95, above=0, below=1)
    """Coverage of the report's intervals, above 0 and below 1."""
    bootstrap_samples: int = bounded(1000, at_least=1)
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
    check_bounds(config, "ensemble")
    if not config.members:
        raise RecipeError("ensemble.members is empty: name at least one, such as {name: large, model: models:/rm/3}")
    for index, member in enumerate(config.members):
        if not member.name or not member.model:
            raise RecipeError(
                f"ensemble.members[{index}] needs `name:` and `model:`, it has {member.name!r}, {member.model!r}"
            )
        _require(_is_plain(member.name), f"members[{index}].name", member.name, _PLAIN)
        check_critiques_config(member.critiques, f"ensemble.members[{index}].critiques")
    names = Counter(member.name for member in config.members)
    if twice := [name for name, count in names.items() if count > 1]:
        raise RecipeError(f"ensemble.members has {twice[0]!r} twice: a member's name is its own")
    _require(_is_plain(config.register_as), "register_as", config.register_as, _PLAIN)
    for name in config.gate.suites:
        _require(name in SUITE_NAMES, "gate.suites", name, f"a suite: {', '.join(SUITE_NAMES)}")
    _require(config.rule != AVERAGE or len(config.members) > 1, "rule", config.rule, "for two members or more")


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[\w.-]+", name, re.ASCII) is not None


def _require(holds: bool, key: str, value: object, wanted: str) -> None:
    if not holds:
        raise RecipeError(f"ensemble.{key}={value!r} must be {wanted}")
