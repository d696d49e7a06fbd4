"""A recipe's section ``rl`` as TRL's settings, and what of it cannot be meant."""

import difflib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from data_pipeline.bounds import check_bounds
from data_pipeline.errors import RecipeError
from rm_core.rl.config import UNSCORED, RewardConfig, RlConfig
from rm_core.rl.matching import Rule

__all__ = [
    "check_grpo_fields",
    "check_pictures",
    "check_rl_config",
    "eval_batch",
    "grpo_config",
    "num_steps_of",
    "sft_config",
]

OWNED = {
    "output_dir": "rl.output", "per_device_train_batch_size": "rl.micro_batch",
    "gradient_accumulation_steps": "rl.batch",
    "per_device_eval_batch_size": "rl.watch", "num_generations": "rl.num_generations", "max_steps": "rl.max_steps",
    "num_train_epochs": "rl.epochs", "learning_rate": "rl.learning_rate", "temperature": "rl.temperature",
    "max_completion_length": "rl.max_answer_tokens", "deepspeed": "rl.zero", "bf16": "rl.precision",
    "fp16": "rl.precision", "save_steps": "rl.checkpoint_every", "save_strategy": "rl.checkpoint_every",
    "eval_steps": "rl.watch.every", "eval_strategy": "rl.watch.every", "logging_steps": "rl.log_every",
    "seed": "rl.seed", "reward_weights": "rl.reward", "report_to": "tracking", "use_cpu": "cluster.device",
    "num_generations_eval": "rl.num_generations", "eval_on_start": "rl.watch.every", "disable_tqdm": "rl",
    "save_total_limit": "rl.keep_checkpoints", "steps_per_generation": "rl.batch", "generation_batch_size": "rl.batch",
    "remove_unused_columns": "rl.prompts", "push_to_hub": "export-model", "warmup_steps": "rl.learning_rate",
    "lr_scheduler_type": "rl.learning_rate", "logging_strategy": "rl.log_every", "resume_from_checkpoint": "rl.output",
    "model_init_kwargs": "rl.precision", "trust_remote_code": "rl.policy", "log_completions": "rl.log_every",
    "log_multimodal": "rl.log_every", "ddp_find_unused_parameters": "rl.num_workers",
}  # fmt: skip
"""Fields of GRPOConfig that a key of ours decides, with that key."""


def check_rl_config(config: RlConfig) -> None:
    """Refuse what cannot be meant, before anything is read.

    Raises:
        RecipeError: names the keys with their values, and the cure.
    """
    check_bounds(config, "rl")
    Rule(config.reward.rule)
    if not config.prompts:
        raise RecipeError("rl.prompts is empty: name at least one source, such as {name: mine, path: prompts.jsonl}")
    whole = config.num_generations * config.num_workers
    if config.batch % whole:
        raise RecipeError(
            f"rl.batch={config.batch} is no multiple of rl.num_generations={config.num_generations} times "
            f"rl.num_workers={config.num_workers}, and all answers to a prompt are written by one worker: take "
            f"{max(1, round(config.batch / whole)) * whole}"
        )
    share = config.batch // config.num_workers
    if config.micro_batch is not None and share % config.micro_batch:
        raise RecipeError(
            f"rl.micro_batch={config.micro_batch} does not divide a worker's {share} answers (rl.batch / "
            "rl.num_workers): take a divisor"
        )
    if config.warm_up.steps and config.warm_up.batch % config.num_workers:
        raise RecipeError(
            f"rl.warm_up.batch={config.warm_up.batch} is no multiple of rl.num_workers={config.num_workers}"
        )
    if config.group.min_workers not in (None, config.num_workers):
        raise RecipeError(
            f"rl.group.min_workers={config.group.min_workers}: the number of workers of a reinforcement learning does "
            "not change on the way; leave the key out"
        )
    _check_reward(config.reward)
    _check_watch(config)


def _check_reward(reward: RewardConfig) -> None:
    """Refuse keys that this kind of reward would not look at."""
    if reward.pessimism and reward.kind not in ("model", "hybrid"):
        raise RecipeError(
            f"rl.reward.pessimism={reward.pessimism:g} lowers the rewards of an ensemble, and rl.reward.kind="
            f"{reward.kind} has none of them: leave it out, or take model or hybrid"
        )
    if reward.url is not None and reward.kind in UNSCORED:
        raise RecipeError(f"rl.reward.url={reward.url} is never asked where rl.reward.kind={reward.kind}: leave it out")
    consistency = reward.consistency
    if reward.kind != "verdict" and consistency.url is not None:
        raise RecipeError(
            f"rl.reward.consistency.url={consistency.url} is asked about verdicts of a judge alone, and rl.reward.kind="
            f"{reward.kind}: leave it out"
        )
    if reward.url is None and reward.patience_s != RewardConfig.patience_s:
        raise RecipeError(
            f"rl.reward.patience_s={reward.patience_s:g} says how long a server is waited for, and rl.reward.url names "
            "none: leave it out"
        )


def _check_watch(config: RlConfig) -> None:
    watch = config.watch
    if watch.every % config.checkpoint_every:
        raise RecipeError(
            f"rl.checkpoint_every={config.checkpoint_every} does not divide rl.watch.every={watch.every}, and each "
            "look has a checkpoint: take a divisor"
        )
    if watch.max_kl is not None and not config.grpo.get("beta"):
        raise RecipeError(
            f"rl.watch.max_kl={watch.max_kl:g}, and where rl.grpo.beta is 0 nothing measures how far the policy "
            "is from where it began: set rl.grpo.beta=0.001, or leave max_kl out"
        )
    if watch.every and watch.heldout_fraction == 0:
        raise RecipeError("rl.watch.heldout_fraction=0 leaves nothing to look at: raise it, or set rl.watch.every=0")


def check_grpo_fields(given: dict[str, Any]) -> None:
    """Refuse names that TRL's GRPOConfig does not have, or that keys of ours decide.

    Raises:
        RecipeError: names the field, and the nearest one or our key.
    """
    from trl import GRPOConfig

    known = {one.name for one in fields(GRPOConfig)}
    for name in given:
        if name in OWNED:
            raise RecipeError(f"rl.grpo.{name} is decided by {OWNED[name]}: leave it out of rl.grpo")
        if name not in known:
            near = difflib.get_close_matches(name, known - OWNED.keys(), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see TRL's GRPOConfig"
            raise RecipeError(f"rl.grpo.{name} is no field of TRL's GRPOConfig: {hint}")


def num_steps_of(config: RlConfig, num_prompts: int) -> int:
    """Optimiser steps of a training on so many prompts.

    Raises:
        RecipeError: they are fewer than one step takes.
    """
    a_step = config.batch // config.num_generations
    if num_prompts < a_step:
        raise RecipeError(
            f"{num_prompts} prompts to train on, and a step takes {a_step} (rl.batch={config.batch} answers, "
            f"rl.num_generations={config.num_generations}): lower rl.batch, or give more prompts"
        )
    return config.max_steps or config.epochs * (num_prompts // a_step)


def eval_batch(config: RlConfig, num_heldout: int) -> tuple[int, int]:
    """(prompts that a worker looks at together, prompts of a look): whole batches, so that none counts twice.

    12 held-out prompts and two workers, each with 8 prompts of a step, give (6, 12).
    """
    most = min(num_heldout, config.watch.max_prompts)
    share = config.micro_batch or config.batch // config.num_workers
    together = max(1, min(share // config.num_generations, most // config.num_workers))
    return together, most // (together * config.num_workers) * together * config.num_workers


def check_pictures(config: RlConfig, has_pictures: Sequence[bool]) -> None:
    """Refuse what would leave workers waiting for each other for ever.

    At ZeRO-3 all workers gather each weight together, those of the vision tower too, through which prompts without
    pictures do not go.

    Args:
        has_pictures: of every prompt.

    Raises:
        RecipeError: some prompts have pictures and others none, at `zero` 3 on several workers.
    """
    without = len(has_pictures) - sum(has_pictures)
    if config.zero == 3 and config.num_workers > 1 and 0 < without < len(has_pictures):
        raise RecipeError(
            f"rl.zero=3 with rl.num_workers={config.num_workers}: {without:,} of {len(has_pictures):,} prompts have no "
            "picture, and workers with pictures would wait for the vision tower's weights for ever: set rl.zero=2, or "
            "give prompts of one kind"
        )


def grpo_config(
    config: RlConfig,
    scratch: str,
    *,
    steps: int,
    eval_prompts: int,
    use_cpu: bool,
    pictures: bool,
    never: list[int],
    resumes: bool,
) -> Any:
    """TRL's GRPOConfig.

    Args:
        scratch: where the Trainer writes.
        steps: optimiser steps.
        eval_prompts: held-out prompts that a worker looks at together; 0: there are no looks.
        pictures: whether the policy sees some.
        never: tokens that no answer holds.
        resumes: whether it goes on from a checkpoint; a first look is taken already then.
    """
    from trl import GRPOConfig

    share = config.batch // config.num_workers
    micro = config.micro_batch or share
    given = dict(config.grpo)
    if not given.get("use_vllm"):
        given["generation_kwargs"] = {"suppress_tokens": never} | dict(given.get("generation_kwargs") or {})
    looks: dict[str, Any] = {
        "eval_strategy": "steps",
        "eval_steps": config.watch.every,
        "eval_on_start": not resumes,
        "per_device_eval_batch_size": eval_prompts * config.num_generations,
        "num_generations_eval": config.num_generations,
    }
    return GRPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share // micro,
        num_generations=config.num_generations,
        max_completion_length=config.max_answer_tokens,
        temperature=config.temperature,
        max_steps=steps,
        reward_weights=[1.0, 0.0],
        remove_unused_columns=False,
        log_multimodal=False,  # TRL gathers pictures on the ranks whose prompts have some: the others would not come
        **(looks if eval_prompts else {}),
        **_common(config, config.learning_rate, steps, use_cpu=use_cpu, pictures=pictures),
        lr_scheduler_type="constant_with_warmup",
        **given,
    )


def sft_config(config: RlConfig, scratch: str, *, use_cpu: bool, pictures: bool) -> Any:
    """TRL's SFTConfig of the warm-up."""
    from trl import SFTConfig

    warm_up = config.warm_up
    share = warm_up.batch // config.num_workers
    micro = min(share, config.micro_batch or share)
    while share % micro:
        micro -= 1
    shared = {name: value for name, value in config.grpo.items() if name.startswith("gradient_checkpointing")}
    return SFTConfig(
        output_dir=scratch,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=share // micro,
        max_steps=warm_up.steps,
        max_length=None,
        completion_only_loss=True,
        **_common(config, warm_up.learning_rate, warm_up.steps, use_cpu=use_cpu, pictures=pictures),
        lr_scheduler_type="linear",
        **shared,
    )


def _common(config: RlConfig, learning_rate: float, steps: int, *, use_cpu: bool, pictures: bool) -> dict[str, Any]:
    return {
        "learning_rate": learning_rate,
        "warmup_steps": steps // 20,
        "bf16": config.precision == "bf16",
        "use_cpu": use_cpu,
        "seed": config.seed,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_every,
        "logging_steps": config.log_every,
        "disable_tqdm": True,
        "report_to": [],
        "dataloader_num_workers": 0,
        "ddp_find_unused_parameters": pictures or None,  # the vision tower, on a rank whose prompts have no picture
        **({} if config.zero is None else {"deepspeed": _deepspeed(config)}),
    }


def _deepspeed(config: RlConfig) -> dict[str, Any]:
    """Batches and rates are filled in by the Trainer."""
    stage: dict[str, Any] = {"stage": config.zero}
    if config.zero == 3:
        stage["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": stage,
        "bf16": {"enabled": config.precision == "bf16"},
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": True,
    }
