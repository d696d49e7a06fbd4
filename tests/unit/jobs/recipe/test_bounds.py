"""Every field of every section of a recipe says what it may hold, and what it says is held to."""

import math
from collections.abc import Iterator
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from data_pipeline.bounds import Bounds, bounds_of, check_bounds
from data_pipeline.errors import RecipeError
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe

OPEN_WORDS = {
    "FieldMap.*",  # names of fields in somebody's records
    "*.name", "*.output", "*.path", "*.data_root", "*.media_root", "*.data", "*.model", "*.tokenizer", "*.input",
    "*.source", "*.run_dir", "*.cache_dir", "*.uri", "*.artifacts", "*.experiment", "*.address", "*.register_as",
    "*.suite_root", "*.suite_folders", "*.suite_media", "*.rewards",
    "*.score_field", "*.system_prompt", "*.critique_prompt", "*.accelerator",
    "MediaConfig.allowed_hosts", "MixtureConfig.only", "WorkerGroupConfig.exclude_nodes", "LoraConfig.targets",
    "ImportModelConfig.adapter",
    "SubmitConfig.env", "ReasoningsConfig.sources",
    *(f"{kind}.{name}" for kind in ("JudgeConfig", "ReasonerConfig", "ConsistencyConfig")
      for name in ("url", "key_variable", "template")),
    "ServeConfig.models", "ServeConfig.host", "ServeConfig.token_variable",
    "HubConfig.*", "SourceConfig.by_hand", "FetchConfig.token_variable", "FetchConfig.scratch",
    "EncodeConfig.critique_prompt", "*.vllm_python",
    "GenerativeConfig.question",  # refused where it lacks its answers
    "*.policy", "RewardConfig.url", "RuleConfig.pattern",
    "WatchConfig.gold",  # also an address or a folder
    "RulesConfig.languages",  # a pattern: two small letters
    "SweepConfig.metric",  # also source/NAME/accuracy
    "TrainConfig.best_metric",  # also eval/by_source/NAME
    # Names of a table that grows; the look-up refuses an unknown one and lists the others.
    "*.shape", "PlanConfig.compare", "PlanConfig.gpu", "PlanConfig.text_only", "SweepConfig.paper_table",
    "TrainConfig.evaluate_suites",
}  # fmt: skip
"""Texts that are no choice out of a closed set."""

TRIED = (-1, 0, math.nan, math.inf, -math.inf, 1e30)


@dataclass(frozen=True)
class Declared:
    """One field of a config class."""

    kind: type
    name: str
    hint: Any

    def __str__(self) -> str:
        return f"{self.kind.__name__}.{self.name}"

    @property
    def leaf(self) -> Any:
        """The annotation without None, and without the list or mapping around it."""
        hint = self.hint
        while args := [arg for arg in get_args(hint) if arg is not NoneType]:
            hint = args[-1]
        return hint

    @property
    def bounds(self) -> Bounds:
        found = bounds_of(self.kind)[self.name]
        assert found is not None, f"{self} declares no bounds: use bounded, one_of or unbounded"
        return found

    @property
    def is_optional(self) -> bool:
        return NoneType in get_args(self.hint)

    def config_with(self, value: Any) -> Any:
        """A config of this class, with the field set; in a list or a mapping where the field is one."""
        origin = get_origin(self.hint)
        config = example(self.kind)
        setattr(config, self.name, {list: [value], dict: {"x": value}}.get(origin, value))
        return config


def example(kind: type) -> Any:
    """A config of defaults, and an `x` for what has none."""
    needed = [one.name for one in fields(kind) if one.default is NO_DEFAULT and one.default_factory is NO_DEFAULT]
    return kind(**dict.fromkeys(needed, "x"))


def classes(kind: type) -> Iterator[type]:
    """A config class and all classes that its fields lead to."""
    yield kind
    for name, hint in get_type_hints(kind).items():
        leaf = Declared(kind, name, hint).leaf
        if is_dataclass(leaf):
            yield from classes(leaf)


ALL = [Declared(kind, *one) for kind in dict.fromkeys(classes(Recipe)) for one in get_type_hints(kind).items()]
NUMBERS = [one for one in ALL if one.leaf in (int, float)]
WORDS = [one for one in ALL if one.leaf is str]


def is_open(one: Declared) -> bool:
    names = {str(one), f"*.{one.name}", f"{one.kind.__name__}.*"}
    return bounds_of(one.kind)[one.name] is None and bool(names & OPEN_WORDS)


def holds(bounds: Bounds, value: float) -> bool:
    low = max((one for one in (bounds.above, bounds.at_least) if one is not None), default=-math.inf)
    high = min((one for one in (bounds.below, bounds.at_most) if one is not None), default=math.inf)
    return math.isfinite(value) and low <= value <= high and value not in (bounds.above, bounds.below)


def test_the_walk_finds_the_sections_and_what_lists_hold() -> None:
    names = {one.kind.__name__ for one in ALL}
    assert names >= {"SourceConfig", "StageConfig", "MemberConfig", "GroupConfig", "StopEarlyConfig", "SubmitConfig"}
    assert len(NUMBERS) > 110 and len(WORDS) > 60


@pytest.mark.parametrize("one", NUMBERS, ids=str)
def test_a_number_has_bounds_or_says_that_it_has_none(one: Declared) -> None:
    assert one.bounds.choices is None


@pytest.mark.parametrize("one", WORDS, ids=str)
def test_a_word_is_one_of_a_set_or_open(one: Declared) -> None:
    if not is_open(one):
        assert one.bounds.choices, f"{one} declares no choices: use one_of, or add it to OPEN_WORDS"


@pytest.mark.parametrize("one", [one for one in WORDS if not is_open(one)], ids=str)
def test_a_word_outside_the_set_is_refused(one: Declared) -> None:
    for choice in one.bounds.choices or ():
        check_bounds(one.config_with(choice))
    with pytest.raises(RecipeError, match=rf"{one.name}(\.0)?='nonsense' .*must be one of "):
        check_bounds(one.config_with("nonsense"))


@pytest.mark.parametrize("value", TRIED)
@pytest.mark.parametrize("one", NUMBERS, ids=str)
def test_a_number_is_within_its_bounds_or_refused(one: Declared, value: float) -> None:
    config = one.config_with(value)
    if holds(one.bounds, value):
        check_bounds(config, "section")
        return
    with pytest.raises(RecipeError) as caught:
        check_bounds(config, "section")
    assert str(caught.value).startswith(f"section.{one.name}")
    assert f"={value!r}" in str(caught.value)


@pytest.mark.parametrize("one", NUMBERS, ids=str)
def test_null_is_refused_where_it_means_nothing(one: Declared) -> None:
    config = one.config_with(None)
    if one.is_optional:
        check_bounds(config)
        return
    with pytest.raises(RecipeError, match=f"{one.name}.*=None must be a number"):
        check_bounds(config)


@pytest.mark.parametrize("kind", dict.fromkeys(one.kind for one in ALL))
def test_defaults_are_within_bounds(kind: type) -> None:
    check_bounds(example(kind))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.optimizer.learning_rate=-0.01", "train.optimizer.learning_rate=-0.01 must be above 0"),
        ("train.optimizer.learning_rate=.nan", "train.optimizer.learning_rate=nan must be a finite number, above 0"),
        ("train.optimizer.beta1=1.5", "train.optimizer.beta1=1.5 must be at least 0 and below 1"),
        ("train.epochs=.nan", "train.epochs=nan must be a finite number, above 0"),
        ("train.epochs=.inf", "train.epochs=inf must be a finite number, above 0"),
        ("train.max_steps=0", "train.max_steps=0 must be at least 1, or unset: leave it out to train by epochs"),
        ("train.attention=fast", "train.attention='fast' must be one of auto, sdpa, flex, flash"),
        ("train.weights.language.learning_rate=-1", "train.weights.language.learning_rate=-1.0 must be at least 0"),
        ("train.stages=[{epochs: 1},{rate: 0}]", "train.stages.1.rate=0.0 must be above 0: name what is to stand"),
        ("preprocess.workers=0", "preprocess.workers=0 must be at least 1, or unset"),
        ("preprocess.sources.0.weight=-1", "preprocess.sources.0.weight=-1.0 of '"),
        ("evaluate.split=test", "evaluate.split='test' must be one of heldout, train"),
        ("evaluate.confidence=95", "evaluate.confidence=95.0 must be above 0 and below 1"),
        ("score.token_budget=0", "score.token_budget=0 must be at least 1"),
        ("sweep.stop_early={grace_steps: 0}", "sweep.stop_early.grace_steps=0 must be at least 1"),
        ("ensemble.gate.bootstrap_samples=0", "ensemble.gate.bootstrap_samples=0 must be at least 1"),
        ("tracking.ui_port=70000", "tracking.ui_port=70000 must be from 1 to 65535, or unset"),
        ("cluster.submit.resources={driver: -1}", "cluster.submit.resources.driver=-1.0 must be at least 0"),
        ("plan.price=-1", "plan.price=-1.0 must be at least 0, or unset"),
        ("init_model.vocab_size=0", "init_model.vocab_size=0 must be at least"),
    ],
)
def test_a_recipe_is_checked_when_it_is_read(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", [override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_settings_of_a_trial_are_checked_too() -> None:
    with pytest.raises(RecipeError, match=r"^train\.optimizer\.learning_rate=0\.0 must be above 0$"):
        load_recipe("demo", settings={"train.optimizer.learning_rate": 0.0})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(RecipeError, match=r"^train\.seed=.*; train\.log_every=0 must be at least 1; plan\.gpus=0 "):
        load_recipe("demo", [f"train.seed={2**63}", "train.log_every=0", "plan.gpus=0"])


def test_null_in_a_recipe_is_refused() -> None:
    with pytest.raises(RecipeError, match="train.global_batch"):
        load_recipe("demo", ["train.global_batch=null"])


def test_choices_are_those_of_the_code_that_reads_them() -> None:
    from data_pipeline.encoding.truncate import POLICIES
    from rm_core.model.attention import KERNELS
    from rm_core.model.backbone import DTYPES
    from rm_core.model.compiled import COMPILE
    from rm_core.model.head import ACTIVATIONS
    from rm_core.model.running import RECOMPUTE
    from rm_core.objectives.config import NAMES

    choices = {str(one): one.bounds.choices for one in WORDS if not is_open(one)}
    assert choices["RulesConfig.truncate"] == POLICIES
    assert choices["ObjectiveConfig.name"] == NAMES
    assert {choices[f"{kind}Config.attention"] for kind in ("Train", "Evaluate", "Score", "Ensemble")} == {
        ("auto", *KERNELS)
    }
    assert choices["TrainConfig.activation_checkpointing"] == RECOMPUTE
    assert choices["TrainConfig.compile"] == COMPILE
    assert choices["InitModelConfig.dtype"] == tuple(DTYPES)
    assert choices["ImportModelConfig.dtype"] == ("as_saved", *DTYPES)
    assert choices["HeadConfig.activation"] == tuple(ACTIVATIONS)
