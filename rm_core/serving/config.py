"""The settings of a server of rewards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_pipeline.bounds import bounded, one_of
from rm_core.generation.config import CritiquesConfig, VerdictsConfig

__all__ = ["ServeConfig"]


@dataclass(kw_only=True)
class ServeConfig:
    """Answer requests for rewards over HTTP (`basereward serve`)."""

    model: str = "train/export"
    """A folder of an exported reward model, local or ``s3://``; or an address of MLflow: ``models:/NAME/VERSION``,
    ``models:/NAME@ALIAS``, ``models:/MODEL_ID``, ``runs:/RUN_ID``; an ensemble is one too."""
    models: dict[str, str] = field(default_factory=dict)
    """More models beside `model`, by name; each is answered for below ``/models/NAME``."""
    host: str = "127.0.0.1"
    """The address that is listened on; ``0.0.0.0``: all of this machine."""
    port: int = bounded(8000, at_least=1, at_most=65535)
    """The port."""
    token_variable: str | None = "BASEREWARD_SERVE_TOKEN"  # noqa: S105  # the name of a variable
    """The name of the environment variable with the token that every request has to bring; null, on 127.0.0.1 alone:
    no request needs one."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row holds at most; a prompt with one answer that has more is refused."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most."""
    prefix_cache_bytes: int = bounded(1 << 30, at_least=0)
    """Memory beside the weights for what the model has computed of prompts: more responses to a prompt that come later
    are computed alone. Of 1,000 tokens of prompt, Qwen2.5-VL 3B keeps 37 MB and 7B 57 MB in bfloat16; 0: nothing."""
    attention: str = one_of("auto", ("auto", "sdpa", "flex", "flash"))
    """Attention kernel: auto (flex on a GPU, else sdpa), sdpa, flex or flash."""
    critiques: CritiquesConfig = field(default_factory=lambda: CritiquesConfig(source="written"))
    """How a critic writes critiques of responses that come without; ``source: given``: it writes none. An ensemble has
    its own."""
    verdicts: VerdictsConfig = field(default_factory=VerdictsConfig)
    """Which pairs of responses a judge is asked about, and how one that reasons writes. An ensemble has its own."""
    max_written_tokens: int = bounded(65_536, at_least=1)
    """Tokens that may be written for one request: by a critic its responses, by a judge that reasons its pairs in both
    orders, times `number` times `max_tokens`."""
    batch_wait_ms: float = bounded(5.0, at_least=0, at_most=1000)
    """Milliseconds for which a row that has room waits for more requests."""
    max_waiting: int = bounded(256, at_least=1, at_most=100_000)
    """Requests a replica has under way; another is answered 429 with Retry-After."""
    max_waiting_tokens: int = bounded(1_000_000, at_least=1)
    """Tokens of requests that wait for their row; a request above it is answered 429, unless none waits."""
    max_body_bytes: int = bounded(64 << 20, at_least=1)
    """Bytes of a request's body; a larger one is answered 413 unread."""
    max_bodies_bytes: int = bounded(1 << 30, at_least=1)
    """Bytes of all bodies that a replica has under way; another is answered 429."""
    max_responses: int = bounded(64, at_least=1, at_most=1024)
    """Responses of one Comparison."""
    max_images: int = bounded(16, at_least=0, at_most=4096)
    """Images of one Comparison."""
    max_image_pixels: int = bounded(25_000_000, at_least=1)
    """An image that would decode to more pixels is refused unread; the model's own limit holds too."""
    body_timeout_s: float = bounded(20.0, above=0)
    """Seconds in which a request's body has to come in; then it is answered 408."""
    request_timeout_s: float = bounded(60.0, above=0)
    """Seconds in which a request that is read has to be answered; then it is answered 504."""
    readers: int = bounded(2, at_least=1, at_most=64)
    """Threads of a replica that decode images and make tokens while the model computes."""
    replicas: int = bounded(1, at_least=1)
    """Copies of the model that answer, at least."""
    max_replicas: int | None = bounded(None, at_least=1)
    """Copies at most, which come and go with the load; unset: `replicas`."""
    target_requests: float = bounded(32.0, above=0)
    """Requests under way a replica beyond which another one is started."""
    cpus: float = bounded(1.0, above=0)
    """CPUs of a replica, which computes on so many threads where it has no GPU."""
    gpus: float | None = bounded(None, at_least=0)
    """GPUs of a replica; unset: 1 where the cluster has some, or may add some."""
    watch_s: float = bounded(30.0, at_least=0)
    """Seconds between two looks at where an alias of MLflow's registry points; the version that it moves to takes over
    without a break; 0: never."""
    drain_s: float = bounded(30.0, at_least=0)
    """Seconds that requests under way have at the end."""

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> "ServeConfig":
        """What `dataclasses.asdict` gave."""
        written = {
            "critiques": CritiquesConfig(**values["critiques"]),
            "verdicts": VerdictsConfig(**values["verdicts"]),
        }
        return cls(**{**values, **written})
