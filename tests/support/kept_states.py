"""A checkpoint store for engines on CPU ranks: what `Checkpointing` does, without a training around it."""

import torch
import torch.distributed as dist

from rm_core.checkpoints import CheckpointSaver, CheckpointStore, Retention, Snapshot
from rm_core.training.engines.interface import Engine

__all__ = ["keep", "restore"]


def keep(engine: Engine, folder: str) -> None:
    """Write the engine's state into `folder`; a collective call that returns once it is complete."""

    def agree(yes: bool) -> bool:
        least = torch.tensor(int(yes))
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        return bool(least)

    saver = CheckpointSaver(
        CheckpointStore(folder), rank=engine.world_rank, world_size=engine.world_size, attempt="one",
        keep=Retention(), agree=agree, report=print,
    )  # fmt: skip
    state = engine.state
    kinds = sorted({kind for _, values in state.fragments() for kind in values})
    facts = {"kinds": kinds, "updates": state.num_updates(), "steps": engine.num_steps}
    saver.save(Snapshot(step=engine.num_steps, fragments=state.fragments(), rank_state={}, facts=facts))
    saver.close()
    dist.barrier()


def restore(engine: Engine, folder: str) -> None:
    """Read the newest state of `folder`; a collective call."""
    store = CheckpointStore(folder)
    with store.open(store.complete_steps()[-1], rank=engine.world_rank, copies=folder) as checkpoint:
        engine.state.fill(checkpoint.read, checkpoint.facts["kinds"], checkpoint.facts["updates"])
        engine.go_to(checkpoint.facts["steps"])
    engine.state.refresh()
