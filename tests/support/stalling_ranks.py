"""Ranks under a watchdog that hang on purpose: real processes on gloo and ZeRO-3, their exit codes and what they said.

Forked from one server that has imported everything, so that a group starts in a second.
"""

import functools
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import socket
import sys
import time
import unittest.mock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from sharding import How, begin, sharded_by
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.model.reward_model import RewardModel
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.engines.interface import Engine
from rm_core.training.first_rank import on_first_rank
from rm_core.training.watchdog import Watchdog

NUM_STEPS, HANG_STEP, SLEEP_S = 3, 2, 300
OUTLIVING_S = 30
MODULE = "backbone.language_model.layers.1.mlp.up_proj"
"""Where the cases `module` (forward) and `backward` hang."""


@dataclass(frozen=True)
class Ended:
    """One rank: its exit code (negative: a signal), its stderr, what `report` got, its weights at the end."""

    exit_code: int | None
    stderr: str
    report: str
    weights: dict[str, torch.Tensor]


def run_stalling(
    case: str, folder: Path, *, how: How = 3, world_size: int = 2, timeout_s: float = 2.0, limit_s: float = 60.0
) -> list[Ended]:
    """One group to its end. A rank that outlives the first by OUTLIVING_S, as a stopped one, is killed: -9."""
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stalling_ranks"])
    # The server has no other way to find the module, and would go on in silence without it.
    with unittest.mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        multiprocessing.forkserver.ensure_running()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = (world_size, port, str(folder), case, timeout_s, how)
    ranks = [context.Process(target=_rank, args=(rank, *arguments)) for rank in range(world_size)]
    for process in ranks:
        process.start()
    multiprocessing.connection.wait([process.sentinel for process in ranks], limit_s)
    end_s = time.monotonic() + OUTLIVING_S
    for process in ranks:
        process.join(max(0.0, end_s - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    return [_ended(process.exitcode, folder, rank) for rank, process in enumerate(ranks)]


def _ended(exit_code: int | None, folder: Path, rank: int) -> Ended:
    report, weights = folder / f"report-{rank}.txt", folder / f"weights-{rank}.pt"
    return Ended(
        exit_code,
        (folder / f"stderr-{rank}.txt").read_text(),
        report.read_text() if report.exists() else "",
        torch.load(weights) if weights.exists() else {},
    )


def _rank(rank: int, world_size: int, port: int, folder: str, case: str, timeout_s: float, how: How) -> None:
    os.dup2(os.open(os.path.join(folder, f"stderr-{rank}.txt"), os.O_WRONLY | os.O_CREAT), 2)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model = toy_reward_model()
    model.recompute_activations("full")
    config = TrainConfig(
        precision="fp32", optimizer=OptimizerConfig(learning_rate=1e-2, max_grad_norm=0.5), **sharded_by(how)
    )
    engine = begin(model, config)
    culprit = 0 if case == "host stopped" else world_size - 1
    hang = functools.partial(_hang, case if rank == culprit else "", timeout_s)
    with Watchdog(
        model,
        timeout_s=timeout_s,
        rank=rank,
        world_size=world_size,
        report=Path(folder, f"report-{rank}.txt").write_text,
    ) as watchdog:
        if case in ("long work", "silent work"):
            _work(watchdog, timeout_s, says_its_parts=case == "long work")
        else:
            _train(engine, model, watchdog, rank, hang)
    torch.save(dict(engine.weights()), os.path.join(folder, f"weights-{rank}.pt"))
    dist.destroy_process_group()


def _work(watchdog: Watchdog, timeout_s: float, *, says_its_parts: bool) -> None:
    """Eight parts on rank 0, each a quarter of the watchdog's time; or the first one alone is said."""
    watchdog.enter("export")

    def work(report: Callable[[str], None]) -> None:
        for part in range(8):
            if says_its_parts or part == 0:
                report(f"part {part}")
            time.sleep(timeout_s / 4)

    on_first_rank(work, beat=watchdog.advance, every_s=0.0)


def _train(engine: Engine, model: RewardModel, watchdog: Watchdog, rank: int, hang: Callable[[str, int], None]) -> None:
    model.train()
    step = 0
    up_projection = model.backbone.language_model.layers[1].mlp.up_proj
    up_projection.register_forward_hook(lambda *_: hang("module", step))
    up_projection.register_full_backward_hook(lambda *_: hang("backward", step))
    for step in range(NUM_STEPS):
        watchdog.enter("loading", step=step, row=0)
        hang("loading", step)
        watchdog.enter("loading")
        hang("loading again", step)
        seed = 10 * step + rank
        batch = collate([toy_comparison(seed, images=(toy_image(seed),))], row_format=ROW_FORMAT)
        watchdog.enter("forward", ids=batch.labels.ids)
        rewards = engine.forward(batch)
        watchdog.enter("backward")
        engine.backward(rewards.diff().sum())
        watchdog.enter("optimiser step")
        engine.step()


def _hang(case: str, timeout_s: float, place: str, step: int) -> None:
    """What goes wrong at `place`, where it is the case's."""
    if case == "slow" and place.startswith("loading"):
        time.sleep(0.6 * timeout_s)  # twice a step: the other rank waits for longer than the watchdog's time
    if step != HANG_STEP:
        return
    if case == place:
        time.sleep(SLEEP_S)
    elif case in ("stopped", "host stopped") and place == "loading":
        time.sleep(0.5 * timeout_s)  # records are written every eighth of it: the last one says where it stops
        os.kill(os.getpid(), signal.SIGSTOP)
