"""The engine's state and the loop's position, to and from the training's checkpoints.

save    shards, random states, position -> `CheckpointSaver`, which writes beside the training
resume  the newest checkpoint that all ranks can read -> shards -> weights that the model computes with
"""

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from data_pipeline.errors import RecipeError, RunError
from data_pipeline.storage import join
from rm_core.checkpoints import Checkpoint, CheckpointSaver, CheckpointStore, Retention, Snapshot, resume_newest
from rm_core.train_config.config import TrainConfig
from rm_core.training.audit import Fingerprints
from rm_core.training.engines.interface import Engine

__all__ = ["Checkpointing", "Position", "identity_of"]

_SAMPLE = 1 << 16


@dataclass(frozen=True, slots=True)
class Position:
    """Where the loop is."""

    steps_done: int
    window: Tensor
    """Sums of the metrics since their last point, float64 on the CPU."""
    first_rewards: tuple[float, float] | None = None
    """Mean and standard deviation of the first window's rewards."""
    evaluations: dict[str, Any] = field(default_factory=dict)
    """What evaluations found (`best.Standing`)."""


class Checkpointing:
    """Saves and resumes one training; made on every rank, all methods are collective.

    Args:
        identity: what a checkpoint has to be of (`identity_of`).
        report: gets what went wrong without ending the training, in words.
    """

    def __init__(
        self, engine: Engine, config: TrainConfig, identity: dict[str, str], report: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._report = report
        self._seed = config.seed
        self._copies = config.cache_dir
        self._store = CheckpointStore(join(config.output, "checkpoints"))
        self._saver = CheckpointSaver(
            self._store,
            rank=engine.world_rank,
            world_size=engine.world_size,
            attempt=self._share(secrets.token_hex(8)),
            keep=Retention(
                last=config.keep_checkpoints, best=config.keep_best_checkpoints, every=config.keep_checkpoint_every
            ),
            agree=self._agree,
            report=report,
            retry_s=config.checkpoint_retry_s,
        )

    @property
    def failures(self) -> int:
        """Saves in a row that did not become complete."""
        return self._saver.failures

    def save(self, position: Position, *, score: float | None) -> None:
        """Keep the state as it is now; returns once it is copied. `score`: the lower the better; None: not judged.

        Raises:
            RunError: several saves in a row have failed.
        """
        state = self._engine.state
        facts = {
            "identity": self._identity,
            "schedule_steps": self._engine.num_steps,
            "updates": state.num_updates(),
            "kinds": sorted({kind for _, values in state.fragments() for kind in values}),
            "window": position.window.tolist(),
            "first_rewards": position.first_rewards,
            "evaluations": position.evaluations,
        }
        self._saver.save(
            Snapshot(
                step=position.steps_done,
                fragments=state.fragments(),
                rank_state=_random_states(),
                facts=facts,
                score=score,
            )
        )

    def judge(self, step: int, score: float | None) -> None:
        """Score the checkpoint of `step`, whose evaluation came after it."""
        if score is not None and self._engine.world_rank == 0:
            self._store.judge(step, score)

    def close(self) -> None:
        """Wait until the last save is complete.

        Raises:
            RunError: it failed.
        """
        self._saver.close()

    def resume(self) -> Position | None:
        """Go back to the newest checkpoint that can be read; None where there is none yet.

        On another number of ranks, weights, moments and position are the same; random states start from the seed.

        Raises:
            RecipeError: the checkpoint is of another training.
            CorruptData: there are checkpoints, and none can be read.
        """
        found = self._read(best=False)
        if found is None:
            return None
        first = found["first_rewards"]
        window = torch.tensor(found["window"], dtype=torch.float64)
        evaluations = found.get("evaluations", {})  # an earlier version's checkpoint knows of none
        return Position(found["step"], window, first and (first[0], first[1]), evaluations)

    def go_to_best(self) -> int:
        """Compute with the weights of the best checkpoint; returns its step. To be called when no step follows.

        Raises:
            RunError: no checkpoint has a score.
            CorruptData: none of those that have one can be read.
        """
        found = self._read(best=True)
        if found is None:
            raise RunError(f"no checkpoint in {self._store.url!r} has a score: set train.export_weights=last")
        return int(found["step"])

    def _read(self, *, best: bool) -> dict[str, Any] | None:
        """Fill the engine from the newest checkpoint that all ranks can read, or the best; its facts and its step."""
        found: dict[str, Any] = {}

        def fill(checkpoint: Checkpoint) -> None:
            facts = checkpoint.facts
            self._check_identity(checkpoint)
            self._engine.state.fill(checkpoint.read, facts["kinds"], facts["updates"])
            found.update(facts)
            same_size = checkpoint.world_size == self._engine.world_size
            self._set_random_states(checkpoint.of_rank() if same_size else None, checkpoint.step)

        step = resume_newest(
            self._store, fill, rank=self._engine.world_rank, copies=self._copies,
            agree=self._agree, share=self._share, report=self._report, best=best,
        )  # fmt: skip
        if step is None:
            return None
        self._engine.state.refresh()
        self._engine.go_to(found["schedule_steps"])
        return found | {"step": step}

    def _check_identity(self, checkpoint: Checkpoint) -> None:
        kept = checkpoint.facts["identity"]
        for key, value in self._identity.items():
            if kept.get(key) != value:
                raise RecipeError(
                    f"{checkpoint.url!r} is of another training: its {key} differ; choose another train.output"
                )

    def _set_random_states(self, kept: dict[str, Tensor] | None, step: int) -> None:
        if kept is None:
            torch.manual_seed(hash((self._seed, step, self._engine.world_rank)))
            return
        torch.random.set_rng_state(kept["cpu_random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(kept["cuda_random"])

    def _agree(self, yes: bool) -> bool:
        least = torch.tensor(int(yes), device=self._engine.device)
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        return bool(least)

    def _share(self, value: Any) -> Any:
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]


def identity_of(model: nn.Module, data_fingerprint: str) -> dict[str, str]:
    """What makes a checkpoint one of this training: data, parameters that train, and those that don't.

    Frozen weights are not kept: the model is built from its folder again. Of each the first 65,536 elements are looked
    at. To be called before the engine shards the model.
    """
    shapes = [(name, list(value.shape)) for name, value in model.named_parameters() if value.requires_grad]
    fingerprints = Fingerprints()
    frozen = {
        name: fingerprints.of(value.detach().reshape(-1)[:_SAMPLE])
        for name, value in model.named_parameters()
        if not value.requires_grad
    }
    digests = {key: hashlib.sha256(json.dumps(value).encode()).hexdigest() for key, value in
               (("parameters", shapes), ("frozen weights", frozen))}  # fmt: skip
    return {"data": data_fingerprint} | digests


def _random_states() -> dict[str, Tensor]:
    states = {"cpu_random": torch.random.get_rng_state()}
    return states | ({"cuda_random": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})
