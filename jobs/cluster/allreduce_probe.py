"""How fast an all-reduce over the nodes is: one rank a node, NCCL on GPUs and gloo without."""

import socket
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data_pipeline.errors import RunError

__all__ = ["all_reduce_gbps"]

MESSAGE_BYTES = 64 * 1024**2
ROUNDS = 5
TIMEOUT_S = 180.0


class _Rank:
    """One rank of the probe."""

    def open_port(self) -> str:
        """Address and port for the ranks to meet at."""
        with socket.socket() as probe:
            probe.bind((ray.util.get_node_ip_address(), 0))
            host, port = probe.getsockname()
        return f"tcp://{host}:{port}"

    def measure(self, meeting: str, rank: int, world: int, gpu: bool) -> float:
        """The bus bandwidth in Gbit/s: what each link had to carry, after NCCL's own formula 2 (n - 1) / n."""
        import torch
        import torch.distributed as dist

        dist.init_process_group("nccl" if gpu else "gloo", init_method=meeting, rank=rank, world_size=world)
        try:
            values = torch.ones(MESSAGE_BYTES // 4, device="cuda" if gpu else "cpu")
            seconds = []
            for _ in range(ROUNDS):
                dist.barrier()
                began_s = time.perf_counter()
                dist.all_reduce(values)
                if gpu:
                    torch.cuda.synchronize()
                seconds.append(time.perf_counter() - began_s)
                values /= world
            if not torch.allclose(values[:8].cpu(), torch.ones(8)):
                raise RunError(
                    f"rank {rank}: the sum of ones over {world} ranks came out as {values[0].item() * world}"
                )
        finally:
            dist.destroy_process_group()
        return 2 * (world - 1) / world * MESSAGE_BYTES * 8 / 1e9 / min(seconds[1:])


def all_reduce_gbps(node_ids: Sequence[str], *, gpu: bool) -> float:
    """The slowest rank's bandwidth in Gbit/s over at least two nodes, `gpu`: with one GPU of each.

    Raises:
        RunError: it did not come to an end.
    """
    world = len(node_ids)
    actor: Any = ray.remote(num_cpus=0, num_gpus=1 if gpu else 0)(_Rank)
    ranks = [
        actor.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote()
        for node_id in node_ids
    ]
    try:
        meeting = ray.get(ranks[0].open_port.remote(), timeout=TIMEOUT_S)
        measured = [one.measure.remote(meeting, rank, world, gpu) for rank, one in enumerate(ranks)]
        return float(min(ray.get(measured, timeout=TIMEOUT_S)))
    except GetTimeoutError as error:
        raise RunError(f"an all-reduce over {world} nodes did not end in {TIMEOUT_S:.0f} s") from error
    except RayError as error:
        raise RunError(
            f"an all-reduce over {world} nodes failed: {str(error).strip().splitlines()[-1][:300]}"
        ) from error
    finally:
        for one in ranks:
            ray.kill(one)
