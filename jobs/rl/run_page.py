"""What a reinforcement learning's page in MLflow says to a person: the description in Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from data_pipeline.shown import markdown, unwrapped
from data_pipeline.storage import join
from jobs.runtime.terminal import duration
from rm_core.rl.config import UNSCORED, RlConfig

__all__ = ["RlPage"]

_MAX_REASON_CHARS = 1000
_SHOWN = {
    "eval/gold": "gold reward, held out", "eval/reward": "reward, held out", "rl/kl": "nats a token from the start",
    "rl/answer_tokens": "tokens an answer",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RlPage:
    """One state of it, from its begin to its end.

    Attributes:
        name: of the recipe.
        recipe_file: where the resolved recipe lies.
        steps: of GRPO, done.
        num_steps: of GRPO, of the plan.
        seconds: of all attempts.
        state: running, finished, failed or killed.
        reason: why it ended, where that is not the end of its plan.
        metrics: the newest of each.
    """

    name: str
    recipe_file: str
    config: RlConfig
    num_prompts: int
    num_heldout: int
    steps: int
    num_steps: int
    seconds: float
    state: str
    reason: str
    metrics: Mapping[str, float]

    def text(self) -> str:
        """What stands before the first heading."""
        return f"{self._standing()}\n\n{self._what()}\n\n{self._results()}".strip()

    def going_on(self) -> str:
        """What to do next."""
        recipe = quote(self.recipe_file)
        if self.state == "finished":
            export = quote(join(self.config.output, "export"))
            return f"`basereward rl {recipe} --sample rl.sample.policy={export}` writes its answers with their rewards."
        if self.state == "running":
            return "SIGTERM ends it after a checkpoint."
        return f"`basereward rl {recipe}` goes on from the newest checkpoint, in this run."

    def _standing(self) -> str:
        words = [f"**{self.state.capitalize()}**", f"step {self.steps:,} of {self.num_steps:,}"]
        words += [duration(self.seconds)] if self.seconds else []
        reason = f"\n\n**Why it ended:** {markdown(unwrapped(self.reason), _MAX_REASON_CHARS)}" if self.reason else ""
        return " · ".join(words) + reason

    def _what(self) -> str:
        config, reward = self.config, self.config.reward
        asked = "" if reward.kind in UNSCORED else f", reward model `{reward.url or reward.model}`"
        if reward.consistency.url is not None:
            asked = f", consistency by `{reward.consistency.model}`"
        spread = f", less {reward.pessimism:g} standard deviations" if reward.pessimism else ""
        return (
            f"Policy of recipe `{self.name}` from `{config.policy}` by GRPO: reward {reward.kind}{asked}{spread}, gold "
            f"`{config.watch.gold}`; {config.batch} answers a step, {config.num_generations} to each prompt.\n\n"
            f"Prompts: {self.num_prompts:,} to learn from, {self.num_heldout:,} held out.\n\n"
            f"Files: `{config.output}`"
        )

    def _results(self) -> str:
        rows = [f"| {words} | {self.metrics[name]:.4f} |" for name, words in _SHOWN.items() if name in self.metrics]
        return "\n".join(["| at the last point | |", "| --- | ---: |", *rows]) if rows else ""
