"""What Prometheus reads of a served model, on the port where Ray's node serves its own metrics.

    ray_basereward_requests_total{application, path, status}     ray_basereward_request_seconds{application, path}
    ray_basereward_batches_total, _batched_requests_total, _computed_tokens_total, _computing_seconds_total
    ray_basereward_written_tokens_total, _writing_seconds_total     of critiques and reasoned verdicts
    ray_basereward_unread_verdicts_total   texts of judges without a verdict that can be read
    ray_basereward_shared_tokens_total     tokens of prompts that another request of the batch has brought too
    ray_basereward_cached_tokens_total     tokens of prompts that an earlier batch has computed
    ray_basereward_waited_seconds          of the oldest request of a batch

Ray knows of a histogram the counts of its buckets alone, so sums that have to be right are counters.
"""

from collections.abc import Mapping

from ray.util.metrics import Counter, Histogram

from rm_core.serving.batching import BatchSeen

__all__ = ["ServeMetrics"]

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
_COUNTERS = {
    "batches": "Batches computed.",
    "batched_requests": "Requests computed in them.",
    "computed_tokens": "Tokens computed, each prompt once a batch.",
    "shared_tokens": "Tokens of prompts that another request of the batch has brought too.",
    "cached_tokens": "Tokens of prompts that an earlier batch has computed.",
    "computing_seconds": "Seconds of computing.",
    "written_tokens": "Tokens of critiques and reasoned verdicts that were written.",
    "writing_seconds": "Seconds of writing them.",
    "unread_verdicts": "Texts of judges without a verdict that can be read.",
}


class ServeMetrics:
    """Of one replica.

    Args:
        application: the name of the served model.
    """

    def __init__(self, application: str) -> None:
        self._requests = Counter(
            "basereward_requests_total", "Requests by the status of their answer.", ("application", "path", "status")
        )
        self._seconds = Histogram(
            "basereward_request_seconds", "From the headers to the answer.", _SECONDS, ("application", "path")
        )
        self._waited = Histogram(
            "basereward_waited_seconds", "The oldest request of a batch waited for it.", _SECONDS, ("application",)
        )
        self._counters = {
            name: Counter(f"basereward_{name}_total", text, ("application",)) for name, text in _COUNTERS.items()
        }
        self._application = {"application": application}

    def request(self, path: str, status: int, seconds: float) -> None:
        """One was answered."""
        self._requests.inc(1.0, self._application | {"path": path, "status": str(status)})
        self._seconds.observe(seconds, self._application | {"path": path})

    def batch(self, seen: BatchSeen) -> None:
        """One was computed."""
        self._waited.observe(seen.waited_s, self._application)
        counted = {
            "batches": 1, "batched_requests": seen.requests, "computed_tokens": seen.tokens,
            "shared_tokens": seen.shared_tokens, "cached_tokens": seen.cached_tokens, "computing_seconds": seen.seconds,
        }  # fmt: skip
        self._count(counted)

    def wrote(self, tokens: int, seconds: float, unread: int) -> None:
        """Critiques or verdicts of a request were written; `unread` texts have none that can be read."""
        self._count({"written_tokens": tokens, "writing_seconds": seconds, "unread_verdicts": unread})

    def _count(self, counted: Mapping[str, float]) -> None:
        for name, value in counted.items():
            if value:  # Ray takes no zero
                self._counters[name].inc(float(value), self._application)
