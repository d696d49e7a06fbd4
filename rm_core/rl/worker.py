"""One rank of a reinforcement learning: prompts, policy, warm-up, GRPO, export.

`torch.distributed` is initialised, or there is one process. Every rank calls `train_rank` with the same configuration.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from data_pipeline.storage import is_local, join, private_folder
from rm_core.model_folder.folder import is_complete, sees_images
from rm_core.model_folder.remote import draft_of, local_backbone
from rm_core.rl.config import UNSCORED, RlConfig, RuleConfig
from rm_core.rl.consistency import CONSISTENCY_FOLDER, agreement_of
from rm_core.rl.datasets import asked, taught
from rm_core.rl.policy import (
    as_language_model,
    load_policy,
    load_processor,
    never_written,
    tokenizer_of,
    write_policy,
)
from rm_core.rl.prompts import Prompt
from rm_core.rl.rewards import RewardKind, reward_kind
from rm_core.rl.scoring import RowScorer
from rm_core.rl.settings import eval_batch, grpo_config, num_steps_of, sft_config
from rm_core.rl.snapshots import SnapshotStore
from rm_core.rl.trainer import RewardFunctions, WatchingCallback, add_callback, looks_of
from rm_core.rl.watch import best_look
from rm_core.training.trainer import Hooks, StopTraining

__all__ = ["MakeScorer", "RlRank", "train_rank"]

VERDICT = r"<answer>\s*([12])\s*</answer>"
"""What a rule looks for in a judge's text."""

MakeScorer = Callable[[str], RowScorer]
"""An address or folder of a reward model -> what asks it, on this rank's device."""


@dataclass(frozen=True, kw_only=True)
class RlRank:
    """What a rank works with.

    Attributes:
        config: of the recipe.
        train: prompts to learn from.
        heldout: prompts to look at.
        make_scorer: loads a reward model, or finds its server.
        hooks: what happens to metrics.
        rank: of all workers.
        local_rank: of the workers of this node.
    """

    config: RlConfig
    train: Sequence[Prompt]
    heldout: Sequence[Prompt]
    make_scorer: MakeScorer
    hooks: Hooks
    rank: int
    local_rank: int


def train_rank(job: RlRank, lineage: Mapping[str, Any]) -> bool:
    """Train on this rank, from the newest checkpoint on where there is one; world rank 0 writes ``export``.

    Returns:
        Whether it ended before its plan did.

    Raises:
        StopTraining: it was asked to stop, and has, with a checkpoint.
        UserError: a model or a value is wrong.
    """
    config = job.config
    if not torch.cuda.is_available():
        torch.set_num_threads(config.threads_per_worker)
    base = local_backbone(config.policy, private_folder("cache"))
    with tempfile.TemporaryDirectory(prefix="basereward-rl-") as scratch:
        warm = join(config.output, "warm_up")
        if config.warm_up.steps:
            if not is_complete(warm):
                _warm_up(job, base, warm, scratch)
            base = local_backbone(warm, private_folder("cache"))
        return _grpo(job, as_language_model(base, scratch), scratch, lineage)


def _warm_up(job: RlRank, base: str, url: str, scratch: str) -> None:
    """Supervised fine-tuning into the folder `url`."""
    from trl import SFTTrainer

    config, pictures = job.config, sees_images(base)
    rows = taught(
        job.train, os.path.join(scratch, "taught"), pictures=pictures, answers=config.warm_up.answers, seed=config.seed
    )
    snapshots, folder = _snapshots(job, "warm_up_checkpoints", scratch)
    resumed = snapshots.newest(job.hooks.note)
    trainer = SFTTrainer(
        model=load_policy(base, config.precision, resumed=resumed),
        args=sft_config(config, folder, use_cpu=not torch.cuda.is_available(), pictures=pictures),
        train_dataset=rows,
        processing_class=load_processor(base),
    )
    callback = WatchingCallback(config, job.hooks, snapshots, num_heldout=0, stage="warm_up")
    add_callback(trainer, callback)
    trainer.train(resume_from_checkpoint=resumed)
    if callback.stopped:
        raise StopTraining("while the policy was warmed up")
    _export(job, snapshots, snapshots.steps()[-1], base, url, {"steps": config.warm_up.steps, "stage": "warm_up"})


def _grpo(job: RlRank, base: str, scratch: str, lineage: Mapping[str, Any]) -> bool:
    """GRPO, and the export of what it ends with."""
    from trl import GRPOTrainer

    if job.config.zero is not None:  # else each rank takes itself for the only one while TRL makes the frozen copy
        from rm_core.training.engines.zero import begin_deepspeed

        begin_deepspeed()
    config, pictures = job.config, sees_images(base)
    together, looked_at = eval_batch(config, len(job.heldout)) if config.watch.every else (0, 0)
    snapshots, folder = _snapshots(job, "checkpoints", scratch)
    resumed = snapshots.newest(job.hooks.note)
    model, processor = load_policy(base, config.precision, resumed=resumed), load_processor(base)
    rewards = _rewards(job)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=rewards.functions(),
        args=grpo_config(
            config,
            folder,
            steps=num_steps_of(config, len(job.train)),
            eval_prompts=together,
            use_cpu=not torch.cuda.is_available(),
            pictures=pictures,
            never=never_written(model, tokenizer_of(processor)),
            resumes=resumed is not None,
        ),
        train_dataset=asked(job.train, os.path.join(scratch, "train"), pictures=pictures),
        eval_dataset=asked(job.heldout[:looked_at], os.path.join(scratch, "heldout"), pictures=pictures)
        if together
        else None,
        processing_class=processor,
    )
    rewards.is_training = lambda: bool(trainer.model.training)
    callback = WatchingCallback(config, job.hooks, snapshots, num_heldout=looked_at, steps_before=config.warm_up.steps)
    add_callback(trainer, callback)
    trainer.train(resume_from_checkpoint=resumed)
    if callback.stopped:
        raise StopTraining("with a checkpoint")
    last = snapshots.steps()[-1]
    best = best_look(looks_of(trainer.state.log_history, looked_at)) if together else None
    said = {**lineage, "steps": last} | ({"ended_early": callback.ended} if callback.ended else {})
    chosen = last
    if best is not None:
        said |= {"gold": best.gold, "gold_step": best.step}
        chosen = best.step if config.export_weights == "best" else last
    _export(job, snapshots, chosen, base, join(config.output, "export"), {**said, "exported_step": chosen})
    if callback.ended and job.rank == 0:
        job.hooks.ended(callback.ended)
    return callback.ended is not None


def _rewards(job: RlRank) -> RewardFunctions:
    """What the policy learns from, and gold."""
    config = job.config
    scorer = None if config.reward.kind in UNSCORED else job.make_scorer(config.reward.model)
    agreement = agreement_of(config.reward.consistency, join(config.output, CONSISTENCY_FOLDER), job.hooks.note)
    kind = reward_kind(config.reward, scorer, agreement)
    return RewardFunctions(
        kind, _gold(job), [*job.train, *job.heldout], config.num_generations,
        gold_in_training=config.watch.gold == "rule",
    )  # fmt: skip


def _gold(job: RlRank) -> RewardKind:
    reward = job.config.reward
    if (gold := job.config.watch.gold) == "rule":
        rule = RuleConfig(pattern=VERDICT) if reward.kind == "verdict" else reward.rule
        return reward_kind(replace(reward, kind="rule", rule=rule), None)
    return reward_kind(replace(reward, kind="model", pessimism=0.0), job.make_scorer(gold))


def _snapshots(job: RlRank, name: str, scratch: str) -> tuple[SnapshotStore, str]:
    """The checkpoints of a stage, and the folder that its Trainer writes them to first."""
    url = join(job.config.output, name)
    shared = is_local(url)
    folder = os.path.join(job.config.output, f"{name}.draft") if shared else os.path.join(scratch, name)
    first = job.rank == 0 if shared else job.local_rank == 0
    if first:
        shutil.rmtree(folder, ignore_errors=True)  # what a killed Trainer left half written
        os.makedirs(folder)
    return SnapshotStore(url, folder, is_first_of_node=first), folder


def _export(job: RlRank, snapshots: SnapshotStore, step: int, base: str, url: str, lineage: Mapping[str, Any]) -> None:
    """A checkpoint's weights as a finished model folder; step 0 is where the training began."""
    weights = base if step == 0 else snapshots.local(step)
    if job.rank == 0:
        with draft_of(url) as draft:
            shutil.rmtree(draft, ignore_errors=True)  # half of an earlier one
            write_policy(draft, weights, processor_from=base, lineage=lineage)
    snapshots.wait()
