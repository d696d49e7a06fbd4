"""What a training's page in MLflow says to a person: the description in Markdown, and tags to search and sort by.

The first lines are what the folded description shows: how it stands, how far it is, what it cost.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shlex import quote

import ray

from cluster.capacity import Node
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.shown import markdown, unwrapped
from data_pipeline.storage import is_local, join
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import duration
from jobs.tracking.run_writer import ATTEMPTS, GOING_ON, SECONDS_TAG
from jobs.train.record import Attempt
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import GPUS
from rm_core.train_config.config import minimised, sharding

__all__ = ["RECIPE_FILE", "RunPage", "cluster_tags", "gpu_type_of", "price_of"]

MAX_REASON_CHARS = 1000
RECIPE_FILE = "recipe.yaml"
"""The resolved recipe, in the output folder and in the run's artifacts below ``config/``."""
_SHOWN = {"train/loss": "loss", "train/accuracy": "accuracy on its own batch", "train/margin": "margin of the rewards"}


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """One state of a training, from its begin to its end."""

    recipe: Recipe
    manifest: Manifest
    output: str
    num_steps: int
    attempts: Sequence[Attempt]
    metrics: Mapping[str, float]
    """The newest of each; of a finished or ended training."""
    state: str
    """running, finished, failed or killed."""
    reason: str = ""
    """Why it ended, where that is not the end of its plan."""
    last_step: int | None = None
    """Of a training that finished before the end of its plan."""

    @property
    def steps_done(self) -> int:
        """Of the newest attempt."""
        if self.state == "finished":
            return self.num_steps if self.last_step is None else self.last_step
        return max((one.last_step for one in self.attempts), default=0)

    @property
    def gpu_hours(self) -> float:
        """Of all attempts."""
        return sum(one.gpu_hours for one in self.attempts)

    @property
    def cost(self) -> float | None:
        """Dollars; None where no GPU was used, or one of no known price."""
        priced = [(one.gpu_hours, price_of(self.recipe.plan, one.gpu_type)) for one in self.attempts if one.gpu_type]
        if not priced or any(price is None for _, price in priced):
            return None
        return sum(hours * (price or 0.0) for hours, price in priced)

    def tags(self) -> dict[str, str]:
        """To search and sort by."""
        found = {
            "attempts": str(len(self.attempts)),
            "resumed_from_steps": ", ".join(str(one.first_step) for one in self.attempts[1:]),
            "world_sizes": ", ".join(str(one.workers) for one in self.attempts),
            "steps": f"{self.steps_done} of {self.num_steps}",
            SECONDS_TAG: f"{sum(one.seconds for one in self.attempts):.0f}" if self.attempts else "",
        }
        if self.gpu_hours:
            found["gpu_hours"] = f"{self.gpu_hours:.2f}"
        if self.cost is not None:
            found["cost_usd"] = f"{self.cost:.2f}"
        return {key: value for key, value in found.items() if value}

    def parts(self) -> dict[str, str]:
        """Markdown by heading; "" stands before the first."""
        parts = {"": f"{self._standing()}\n\n{self._what()}\n\n{self._results()}".strip()}
        if self.attempts:
            parts[ATTEMPTS] = self._attempts_table()
        parts[GOING_ON] = self._going_on()
        return parts

    def _standing(self) -> str:
        took_s = sum(one.seconds for one in self.attempts)
        words = [f"**{self.state.capitalize()}**", f"step {self.steps_done:,} of {self.num_steps:,}"]
        if epoch := self.metrics.get("train/epoch"):
            words.append(f"epoch {epoch:.1f}")
        if took_s:
            words.append(duration(took_s) + (f" in {len(self.attempts)} attempts" if len(self.attempts) > 1 else ""))
        if self.gpu_hours:
            words.append(f"{self.gpu_hours:,.2f} GPU-hours")
        if self.cost is not None:
            words.append(f"about ${self.cost:,.2f}")
        reason = f"\n\n**Why it ended:** {markdown(unwrapped(self.reason), MAX_REASON_CHARS)}" if self.reason else ""
        return " · ".join(words) + reason

    def _what(self) -> str:
        config, counts = self.recipe.train, self.manifest.counts
        kept = {name: count for name, count in counts.by_split.items() if name != "train"}
        shown = sorted(name for name, source in counts.by_source.items() if source.shown)  # the mixture leaves some out
        sources = ", ".join(map(markdown, shown)) or "no source"
        what = "pairs" if config.global_batch_unit == "pairs" else "Comparisons"
        apart = "".join(f", {count:,} {name}" for name, count in kept.items())
        return (
            f"Reward model of recipe `{self.recipe.name}` from `{config.model}`: objective {minimised(config)}, "
            f"{sharding(config)}, {config.precision}, {config.num_workers} workers, "
            f"{config.global_batch} {what} a step.\n\n"
            f"Data: {counts.by_split.get('train', 0):,} Comparisons to train on{apart}, of {sources}; "
            f"manifest `{self.manifest.address}`, page in the artifact `data/data.html`.\n\n"
            f"Files: `{self.output}`"
        )

    def _results(self) -> str:
        shown = [(words, self.metrics[name]) for name, words in _SHOWN.items() if name in self.metrics]
        if self.state == "running" or not shown:
            return ""
        rows = [f"| {words} | {value:.4f} |" for words, value in shown]
        return "\n".join(["| at the last point of the training | |", "| --- | ---: |", *rows])

    def _attempts_table(self) -> str:
        lines = ["| began | steps | workers | nodes | took | ended |", "| --- | --- | ---: | --- | ---: | --- |"]
        for one in self.attempts:
            workers = f"{one.workers} x {one.gpu_type or 'CPU'}"
            began = f"{datetime.fromtimestamp(one.began_s, UTC):%Y-%m-%d %H:%M} UTC"
            steps = f"{one.first_step:,} to {one.last_step:,}"
            ended = markdown(unwrapped(one.ended or "running"), MAX_REASON_CHARS)
            lines.append(
                f"| {began} | {steps} | {workers} | {', '.join(one.nodes)} | {duration(one.seconds)} | {ended} |"
            )
        return "\n".join(lines)

    def _going_on(self) -> str:
        recipe, export = quote(self._recipe_file), quote(join(self.output, "export"))
        if self.state == "finished":
            return (
                f"{self._where()}`basereward evaluate {recipe} evaluate.model={export}` adds held-out numbers under "
                f"`eval/` and a table here; `basereward score {recipe} score.model={export} score.input=FILE` scores "
                f'your own answers; in Python `rm_core.load("{self.output}/export")`.'
            )
        if self.state == "running":
            return (
                f"{self._where()}`basereward runs {recipe}` shows it in a terminal; SIGTERM ends it after a checkpoint."
            )
        return f"{self._where()}`basereward train {recipe}` goes on from the newest checkpoint, in this run."

    @property
    def _recipe_file(self) -> str:
        """The resolved recipe beside the training: it holds every override, and all that a sweep set for a trial."""
        return join(self.output, RECIPE_FILE) if is_local(self.output) else RECIPE_FILE

    def _where(self) -> str:
        """What has to be done first: go where the recipe's paths start, and have the recipe."""
        folder = self.recipe.run_dir
        there = f"In `{os.getcwd()}`: " if is_local(folder) and not os.path.isabs(folder) else ""
        return there if is_local(self.output) else f"{there}Save the artifact `config/{RECIPE_FILE}` of this run; then "


def cluster_tags(nodes: Sequence[Node]) -> dict[str, str]:
    """What a training ran on: ``cluster.nodes``, ``cluster.cpus``, ``cluster.gpus``, ``cluster.ray_version``.

    Args:
        nodes: of the open cluster.
    """
    alive = [node for node in nodes if node.alive and node.total]
    kinds: dict[str, int] = {}
    for node in alive:
        if gpus := int(node.total.get("GPU", 0)):
            kinds[_kind(node)] = kinds.get(_kind(node), 0) + gpus
    return {
        "cluster.nodes": str(len(alive)),
        "cluster.cpus": f"{sum(node.total.get('CPU', 0) for node in alive):g}",
        "cluster.gpus": ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items())) or "none",
        "cluster.ray_version": ray.__version__,
    }


def gpu_type_of(nodes: Sequence[Node], wanted: str | None) -> str:
    """The type of GPU that workers get, as Ray calls it; several are joined by a slash."""
    kinds = {_kind(node) for node in nodes if node.alive and node.total.get("GPU", 0)}
    return wanted or "/".join(sorted(kinds)) or "GPU"


def price_of(config: PlanConfig, gpu_type: str) -> float | None:
    """Dollars an hour of one GPU: the recipe's own price, or the catalogue's where the type is in it.

    >>> price_of(PlanConfig(), "H100"), price_of(PlanConfig(), "A100-40G"), price_of(PlanConfig(), "A100")
    (6.9, 2.8, None)
    """
    if config.price is not None:
        return config.price
    prices = {gpu.price for name, gpu in GPUS.items() if name.startswith(gpu_type.lower())}
    return prices.pop() if gpu_type and len(prices) == 1 else None


def _kind(node: Node) -> str:
    kinds = [name.partition(":")[2] for name in node.total if name.startswith("accelerator_type:")]
    return kinds[0] if kinds else "GPU"
