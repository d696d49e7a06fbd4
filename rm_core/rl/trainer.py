"""TRL's trainers between what is ours: rewards and gold go in as functions, a callback watches, saves and stops."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from transformers import PrinterCallback, TrainerCallback

from rm_core.rl.config import RlConfig
from rm_core.rl.prompts import Prompt
from rm_core.rl.rewards import AnswerReward, AskedGroup, RewardKind
from rm_core.rl.scoring import Group
from rm_core.rl.snapshots import SnapshotStore
from rm_core.rl.watch import Look, best_look, reason_to_end
from rm_core.training.trainer import Hooks

__all__ = ["RewardFunctions", "WatchingCallback", "add_callback", "looks_of"]

_METRICS = {
    "loss": "train/loss", "grad_norm": "train/grad_norm", "learning_rate": "train/learning_rate", "kl": "rl/kl",
    "entropy": "rl/entropy", "rewards/reward/mean": "rl/reward", "reward_std": "rl/reward_std",
    "rewards/gold/mean": "rl/gold", "completions/mean_length": "rl/answer_tokens", "right": "rl/right",
    "completions/clipped_ratio": "rl/cut", "unscored": "rl/unscored", "undecided": "rl/undecided",
    "frac_reward_zero_std": "rl/groups_alike",
    "step_time": "system/step_s", "num_tokens": "system/tokens",
    "eval_rewards/reward/mean": "eval/reward", "eval_rewards/gold/mean": "eval/gold", "eval_kl": "eval/kl",
    "eval_completions/mean_length": "eval/answer_tokens", "eval_right": "eval/right",
    "eval_undecided": "eval/undecided",
}  # fmt: skip
"""TRL's names -> ours; others are left out."""


class RewardFunctions:
    """The two functions that TRL calls with its rank's answers: the reward, and gold, which nothing learns from.

    Args:
        kind: of the reward.
        gold: of gold.
        prompts: all that may be asked; a column ``key`` says which one an answer is to.
        num_generations: answers to each prompt, which stand one after the other.
        gold_in_training: whether gold costs next to nothing, so that it is measured in every step.
    """

    def __init__(
        self, kind: RewardKind, gold: RewardKind, prompts: Iterable[Prompt], num_generations: int, *,
        gold_in_training: bool,
    ) -> None:  # fmt: skip
        self._kind = kind
        self._gold = gold
        self._prompts = {one.key: one for one in prompts}
        self._num_generations = num_generations
        self._gold_in_training = gold_in_training
        self.is_training: Callable[[], bool] = lambda: True

    def functions(self) -> list[Callable[..., list[float | None]]]:
        """Named as their metrics are."""

        def reward(completions: Any, key: Any, log_metric: Any, **_columns: Any) -> list[float | None]:
            found = self._asked(self._kind, completions, key)
            log_metric("right", sum(one.right for one in found) / len(found))
            log_metric("unscored", sum(not one.scored for one in found) / len(found))
            if found[0].undecided is not None:
                log_metric("undecided", sum(one.undecided is True for one in found) / len(found))
            return [one.reward for one in found]

        def gold(completions: Any, key: Any, **_columns: Any) -> list[float | None]:
            if self.is_training() and not self._gold_in_training:
                return [None] * len(completions)
            return [one.reward for one in self._asked(self._gold, completions, key)]

        return [reward, gold]

    def _asked(self, kind: RewardKind, completions: Any, keys: Any) -> list[AnswerReward]:
        """Of every answer what it is worth; the prompt and the files of its pictures are those that were read."""
        count = self._num_generations
        groups = []
        for start in range(0, len(completions), count):
            own = keys[start : start + count]
            assert own == [own[0]] * count, "all answers to a prompt are on one rank, one after the other"
            prompt = self._prompts[own[0]]
            answers = [one[0]["content"] or "" for one in completions[start : start + count]]
            group = Group(turns=prompt.turns, images=prompt.images, answers=answers)
            groups.append(AskedGroup(group=group, reference=prompt.answers[0]))
        return [one for group in kind(groups) for one in group]


def looks_of(history: Sequence[Mapping[str, Any]], num_prompts: int) -> list[Look]:
    """The looks in a Trainer's history, one a step, oldest first.

    Args:
        num_prompts: of a look; answers to one prompt are alike, so that errors are counted over prompts.
    """
    looks: dict[int, Look] = {}
    for entry in history:
        if (gold := entry.get("eval_rewards/gold/mean")) is None:
            continue
        looks[entry["step"]] = Look(
            step=entry["step"],
            reward=entry["eval_rewards/reward/mean"],
            gold=gold,
            gold_error=(entry.get("eval_rewards/gold/std") or 0.0) / math.sqrt(num_prompts),
            length=entry["eval_completions/mean_length"],
            kl=entry.get("eval_kl"),
        )
    return [looks[step] for step in sorted(looks)]


@dataclass
class WatchingCallback(TrainerCallback):
    """What happens beside the steps: metrics go out, looks are judged, checkpoints kept, a request to stop is heard.

    Attributes:
        num_heldout: prompts of a look.
        steps_before: of the stages before this one, which the driver's bar counts too.
        stage: of metrics, ``rl`` or ``warm_up``.
        ended: why the training ended before its plan did; None: it did not.
        stopped: whether it was asked to stop.
    """

    config: RlConfig
    hooks: Hooks
    snapshots: SnapshotStore
    num_heldout: int
    steps_before: int = 0
    stage: str = "rl"
    ended: str | None = None
    stopped: bool = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The steps begin."""
        self.hooks.begin(self.steps_before + state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Points of metrics."""
        logs: Mapping[str, Any] = given["logs"]
        if not state.is_world_process_zero:
            return
        names = _METRICS if self.stage == "rl" else {"loss": "warm_up/loss", "learning_rate": "warm_up/learning_rate"}
        found = {ours: float(logs[name]) for name, ours in names.items() if name in logs and _is_number(logs[name])}
        if found:
            self.hooks.log(state.global_step, found)

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A look is there: on every rank the same, so that all decide alike."""
        looks = looks_of(state.log_history, self.num_heldout)
        if not looks:
            return
        if state.is_world_process_zero:
            self.hooks.evaluated(looks[-1].step, {"gold": looks[-1].gold, "reward": looks[-1].reward})
        reason = reason_to_end(looks, self.config.watch)
        if reason is not None and state.global_step < state.max_steps:
            self.ended = reason
            control.should_save = control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Whether to stop; the ranks agree."""
        if _any_rank(self.hooks.stop()):
            self.stopped = True
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The Trainer has written a checkpoint."""
        self.hooks.before_save()
        self.snapshots.keep(state.global_step)
        if state.is_world_process_zero:
            best = best_look(looks_of(state.log_history, self.num_heldout)) if self.num_heldout else None
            newest = self.snapshots.steps()[-self.config.keep_checkpoints :]
            self.snapshots.keep_only({*newest, *([] if best is None else [best.step])})


def add_callback(trainer: Any, callback: WatchingCallback) -> None:
    """Let the callback hear of everything, and the terminal of nothing."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(callback)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _any_rank(value: bool) -> bool:
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    flag = torch.tensor(int(value), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag)
