"""A bounded load: clients that each send the next request once they have an answer."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

__all__ = ["Turn", "send", "wait_until_ready"]

START_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Turn:
    """All requests sent once.

    Attributes:
        seconds: from the first request to the last answer.
        latencies_s: of each request, in their order.
        rewards: of each request, in their order.
    """

    seconds: float
    latencies_s: list[float]
    rewards: list[list[float]]


def send(url: str, requests: Sequence[Any], concurrency: int) -> Turn:
    """Send all requests to ``/score``, so many at once.

    Raises:
        RuntimeError: one got no rewards.
    """
    latencies_s = [0.0] * len(requests)
    answers: list[Any] = [None] * len(requests)
    places = iter(range(len(requests)))
    taking = threading.Lock()
    with httpx2.Client(base_url=url, timeout=600, verify=False) as client:

        def ask() -> None:
            while True:
                with taking:
                    place = next(places, None)
                if place is None:
                    return
                start_s = time.perf_counter()
                answers[place] = client.post("/score", json=requests[place])
                latencies_s[place] = time.perf_counter() - start_s

        threads = [threading.Thread(target=ask) for _ in range(concurrency)]
        start_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start_s
    for answer in answers:
        if answer is None or answer.status_code != 200:
            raise RuntimeError(f"{url}: {'no answer' if answer is None else answer.text[:300]}")
    return Turn(seconds=seconds, latencies_s=latencies_s, rewards=[answer.json()["rewards"] for answer in answers])


def wait_until_ready(url: str) -> None:
    """Return once the server answers.

    Raises:
        RuntimeError: it does not, in `START_S`.
    """
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        try:
            if httpx2.get(f"{url}/ready", verify=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer after {START_S:g} s")
