"""A served model of a test: the app on a real HTTP server, in a thread of its own, on this machine's loopback.

with answering(lambda: LoadedModel(...), config, token=TOKEN) as lab: lab.post("/score", {...})
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx2
import uvicorn

from jobs.serve.app import create_app
from jobs.serve.guard import token_hash
from rm_core.serving.batching import BatchSeen
from rm_core.serving.config import ServeConfig
from rm_core.serving.service import LoadedModel, RewardService


@dataclass
class Lab:
    """A server that answers."""

    url: str
    token: str | None
    service: RewardService
    loop: asyncio.AbstractEventLoop
    batches: list[BatchSeen] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @cached_property
    def client(self) -> httpx2.Client:
        """One for all threads: to make one reads all certificates of this machine."""
        return httpx2.Client(base_url=self.url, timeout=60, verify=False, limits=httpx2.Limits(max_connections=64))

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(path)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self.client.post(path, json=body, headers=self.headers)


@contextmanager
def answering(model: Callable[[], LoadedModel], config: ServeConfig, token: str | None = None) -> Iterator[Lab]:
    """In the block the model answers."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    ready = threading.Event()
    made: list[Any] = []

    async def main() -> None:
        batches: list[BatchSeen] = []
        requests: list[tuple[str, int]] = []
        service = RewardService(model(), config, batches.append)
        app = create_app(
            service, config, token_sha256=token_hash(token) if token else None,
            observe=lambda path, status, _: requests.append((path, status)),
        )  # fmt: skip
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        lab = Lab(url, token, service, asyncio.get_running_loop(), batches, requests)
        made.extend((lab, server))
        ready.set()
        await server.serve(sockets=[listening])
        await service.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(60)
    lab, server = made
    try:
        yield lab
    finally:
        lab.client.close()
        server.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()
