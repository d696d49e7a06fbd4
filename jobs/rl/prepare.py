"""Before a reinforcement learning runs: recipe, prompts and models are checked, the folder claimed, a run made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.storage import absolute, exists, is_local, join, private_folder, read_json, write_atomic
from jobs.recipe.addresses import check_address, check_endpoint
from jobs.recipe.judge import check_consistency
from jobs.recipe.schema import Recipe, to_yaml, with_absolute_paths
from jobs.registry.registry import is_address
from jobs.rl.run_page import RlPage
from jobs.runtime.terminal import table
from jobs.tracking.address import absolute_uri, check_tracking
from jobs.tracking.run_writer import GOING_ON, SECONDS_TAG
from jobs.tracking.tracker import Tracker
from jobs.train.record import TrainingRecord
from jobs.train.run_page import RECIPE_FILE
from jobs.train.state import claim_folder, flat, is_logged
from rm_core.evaluation.judge.endpoint_config import OF_HOW, key_of
from rm_core.model_folder.folder import is_complete, sees_images
from rm_core.model_folder.identity import weights_identity
from rm_core.model_folder.paradigm import question_of, reasons
from rm_core.model_folder.remote import local_backbone
from rm_core.rl.config import UNSCORED, RewardConfig, RlConfig
from rm_core.rl.consistency import CONSISTENCY
from rm_core.rl.judging import judge_prompts
from rm_core.rl.prompts import PromptReader, Prompts
from rm_core.rl.settings import check_grpo_fields, check_pictures, check_rl_config, num_steps_of

__all__ = ["Learning", "PromptsOf", "checked_config", "prepare", "read_prompts", "reward_identity"]

IDENTITY_FILE = "rl.json"
_FREE = {"output", "group", "threads_per_worker", "checkpoint_every", "keep_checkpoints", "log_every", "stop_grace_s"}
_FREE |= {"stall_timeout_s", "sample", "micro_batch", "policy", "export_weights"}
"""What may change between two attempts: where and how it runs."""


@dataclass(frozen=True, kw_only=True)
class PromptsOf:
    """How to read the prompts: the same on the driver and on every worker."""

    data_root: str
    config: RlConfig
    recipe: Recipe

    def read(self, limit: int | None = None) -> Prompts:
        """All prompts, or the first `limit`.

        Raises:
            UserError: a source has no files, or nothing can be asked.
        """
        policy = local_backbone(self.config.policy, private_folder("cache"))
        encoder = Encoder(load_tokenizer(policy), replace(self.recipe.preprocess.encode, critiques="none"))
        media, most = self.recipe.preprocess.media, self.config.max_prompt_tokens
        reader = PromptReader(self.data_root, media, encoder, most, pictures=sees_images(policy))
        found = reader.read(self.config.prompts, limit)
        if self.config.reward.kind == "verdict":
            found.prompts = judge_prompts(found.prompts, question_of(self.config.policy))
        return found


@dataclass(frozen=True, kw_only=True)
class Learning:
    """A reinforcement learning that may run."""

    recipe: Recipe
    config: RlConfig
    """The recipe's, with absolute paths."""
    source: PromptsOf
    fingerprint: str
    """Of the prompts."""
    num_prompts: int
    """To learn from."""
    num_heldout: int
    num_steps: int
    """Of GRPO."""
    tracker: Tracker
    record: TrainingRecord

    @property
    def export_folder(self) -> str:
        """Where the finished policy goes."""
        return join(self.config.output, "export")

    @property
    def all_steps(self) -> int:
        """Of warm-up and GRPO, which the progress bar shows."""
        return self.config.warm_up.steps + self.num_steps

    def write_page(
        self, state: str, reason: str = "", metrics: Mapping[str, float] | None = None, last_step: int | None = None
    ) -> None:
        """Write the run's page in MLflow.

        Args:
            state: running, finished, failed or killed.
            reason: why it ended, where that is not the end of its plan.
            metrics: the newest of each, of one that has ended.
            last_step: of GRPO, of one that has finished.
        """
        attempts = self.record.attempts
        reached = max((one.last_step for one in attempts), default=0) - self.config.warm_up.steps
        page = RlPage(
            name=self.recipe.name,
            recipe_file=join(self.config.output, RECIPE_FILE),
            config=self.config,
            num_prompts=self.num_prompts,
            num_heldout=self.num_heldout,
            steps=max(0, reached) if last_step is None else last_step,
            num_steps=self.num_steps,
            seconds=sum(one.seconds for one in attempts),
            state=state,
            reason=reason,
            metrics=metrics or {},
        )
        tags = {"steps": f"{page.steps} of {page.num_steps}", SECONDS_TAG: f"{page.seconds:.0f}"}
        self.tracker.write_page({"": page.text(), GOING_ON: page.going_on()}, tags)


def prepare(recipe: Recipe) -> Learning | None:
    """Check and claim all that ``rl`` needs; None where it is finished already.

    Raises:
        UserError: a value, the prompts or a model is wrong, or the folder holds another one.
        RunError: MLflow can't be reached.
    """
    check_address(recipe.tracking.uri)
    config = checked_config(recipe)
    if is_complete(join(config.output, "export")) and is_logged(config.output):
        return None
    source = PromptsOf(data_root=absolute(recipe.data_root), config=config, recipe=recipe)
    prompts = read_prompts(source)
    check_pictures(config, [bool(one.images) for one in prompts.prompts])
    train, heldout = prompts.divided(config.watch.heldout_fraction if config.watch.every else 0.0)
    if config.watch.every and len(heldout) < config.num_workers:
        raise RecipeError(
            f"{len(heldout)} prompts are held out (rl.watch.heldout_fraction={config.watch.heldout_fraction:g} of "
            f"{len(prompts.prompts)}), and each of {config.num_workers} workers looks at one at least: raise it"
        )
    num_steps = num_steps_of(config, len(train))
    check_tracking(recipe.tracking)
    fingerprint = fingerprint_of(prompts)
    claim(config, fingerprint)
    write_atomic(join(config.output, RECIPE_FILE), to_yaml(recipe).encode())
    tracker = Tracker(recipe.tracking, run_dir=config.output, run_name=f"{recipe.name} rl")
    with tracker.ended_by_errors():
        tracker.log_recipe(recipe, "rl", {"prompts_fingerprint": fingerprint}, ["rl"])
        tracker.log_dataset(
            name=f"{recipe.name} prompts",
            fingerprint=fingerprint,
            source=source.data_root,
            profile={"train": len(train), "heldout": len(heldout), "refused": dict(prompts.refused)},
            context="training",
        )
        learning = Learning(
            recipe=recipe, config=config, source=source, fingerprint=fingerprint, num_prompts=len(train),
            num_heldout=len(heldout), num_steps=num_steps, tracker=tracker, record=TrainingRecord(config.output),
        )  # fmt: skip
        learning.write_page("running")
    return learning


def checked_config(recipe: Recipe) -> RlConfig:
    """`recipe.rl` with absolute paths, of which each model is there.

    Raises:
        UserError: a value cannot be meant, TRL is not installed, or a model is not there.
    """
    config = recipe.rl
    check_rl_config(config)
    _check_installed()
    check_grpo_fields(config.grpo)
    reward = config.reward
    if reward.url is not None:
        check_endpoint(reward.url, "rl.reward.url")
    check_consistency(reward.consistency)
    key_of(reward.consistency, CONSISTENCY)
    config = replace(
        with_absolute_paths(config, "policy", "output"),
        reward=replace(reward, model=_placed(reward.model)),
        watch=replace(config.watch, gold=_placed(config.watch.gold)),
    )
    if not exists(join(config.policy, "config.json")):
        raise MissingInput(f"rl.policy={recipe.rl.policy!r} holds no config.json: name the folder of a language model")
    if reward.kind == "verdict" and not reasons(config.policy):
        raise RecipeError(
            f"rl.reward.kind=verdict, and rl.policy={recipe.rl.policy!r} is no judge that reasons: train one with "
            "train.paradigm=generative train.generative.form=reasoning, and name its export"
        )
    asks = reward.kind not in UNSCORED and reward.url is None
    needed = {"rl.reward.model": config.reward.model} if asks else {}
    if config.watch.gold != "rule" and config.watch.every:
        needed["rl.watch.gold"] = config.watch.gold
    for key, model in needed.items():
        if not is_address(model) and is_local(model) and not exists(model):
            raise MissingInput(
                f"{key}={model!r}: no such folder; name an exported reward model, or take the rule in its place"
            )
    return config


def read_prompts(source: PromptsOf, limit: int | None = None) -> Prompts:
    """The prompts, and how many of them there are on the terminal."""
    prompts = source.read(limit)
    rows = [("records", f"{prompts.seen:,}"), ("prompts", f"{len(prompts.prompts):,}")]
    rows += [("twice", f"{prompts.duplicates:,}")] if prompts.duplicates else []
    rows += [(f"refused: {reason}", f"{number:,}") for reason, number in sorted(prompts.refused.items())]
    table("Prompts", rows)
    return prompts


def fingerprint_of(prompts: Prompts) -> str:
    """sha256 of what is asked and answered, in its order."""
    said = [[one.key, one.answers] for one in prompts.prompts]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def claim(config: RlConfig, fingerprint: str) -> None:
    """Write what shapes the result into the output folder, or compare it with what is there.

    Raises:
        RecipeError: another one has trained there; names the first difference.
    """
    url = join(config.output, IDENTITY_FILE)
    earlier = read_json(url, dict) if exists(url) else None
    identity = _identity(config, fingerprint)
    claim_folder(config.output, IDENTITY_FILE, identity, earlier, what="reinforcement learning", key="rl.output")


def _identity(config: RlConfig, fingerprint: str) -> dict[str, Any]:
    shaping = {key: value for key, value in asdict(config).items() if key not in _FREE}
    shaping["reward"] = reward_identity(config.reward)
    shaping.pop("prompts")  # their fingerprint says what they hold
    return flat({"prompts_fingerprint": fingerprint, "policy_sha256": weights_identity(config.policy), **shaping})


def reward_identity(config: RewardConfig) -> dict[str, Any]:
    """What decides rewards: a server and a loaded model give the same ones, and a language model wherever it is."""
    reward = asdict(config)
    for name in ("url", "patience_s"):
        reward.pop(name)
    said = reward.pop("consistency")
    if said.pop("url") is not None:
        reward["consistency"] = {name: value for name, value in said.items() if name not in OF_HOW}
    return reward


def _placed(model: str) -> str:
    return model if is_address(model) or model == "rule" else absolute(model)


def _check_installed() -> None:
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise RecipeError(f"`basereward rl` needs TRL ({error}): pip install 'basereward[rl]'") from error


def store_of(recipe: Recipe) -> str | None:
    """The MLflow store that addresses of reward models are looked up in; None where none is named."""
    config = recipe.rl
    asks = config.reward.kind not in UNSCORED and config.reward.url is None
    named = [config.reward.model] if asks else []
    named += [config.watch.gold] if config.watch.every else []
    return absolute_uri(recipe.tracking.uri) if any(map(is_address, named)) else None
