"""The sides, each an HTTP server in a process: `python -m benchmarks.serving.servers SIDE FOLDER PORT THREADS`.

    ours    the app and the engine of `basereward serve`, without Ray: requests that wait share a packed row; no prompt
            is known from earlier ones
    cached  the same with its cache of prompts
    naive   the same app, reading and tokens; a request at a time, its K responses as padded rows of Transformers'
            Qwen2_5_VLModel, each with the prompt and the image

The folder's model is loaded by both, so their rewards are the same.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
import uvicorn
from transformers import Qwen2_5_VLModel

from benchmarks.common.padded_rows import PaddedModel, padded
from benchmarks.train_step.records import MAX_PIXELS, MAX_TOKENS
from benchmarks.train_step.sides import ModelSize
from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer, tokenizer_fingerprint
from jobs.serve.app import create_app
from jobs.serve.models import find_model, load_model
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead
from rm_core.model_folder.folder import load_reward_model, save_reward_model
from rm_core.serving.config import ServeConfig
from rm_core.serving.rows import RowScores
from rm_core.serving.service import Answer, LoadedModel, RewardService

__all__ = ["SIDES", "model_folder", "serve_side"]

CONFIG = ServeConfig(request_timeout_s=600.0, attention="sdpa", prefix_cache_bytes=0)
CACHED = replace(CONFIG, prefix_cache_bytes=ServeConfig().prefix_cache_bytes)


class NaiveService(RewardService):
    """Answers one request after the other."""

    def __init__(self, model: LoadedModel, config: ServeConfig, folder: str) -> None:
        super().__init__(model, config)
        ours = load_reward_model(folder, dtype=torch.float32)
        settings = ours.backbone.config
        settings._attn_implementation = "sdpa"
        self._padded = PaddedModel(
            Qwen2_5_VLModel(settings), RewardHead(settings.text_config.hidden_size, ours.head_config)
        )
        self._padded.load_state_dict(ours.state_dict())
        self._padded.eval()
        self._image_token = int(settings.image_token_id)
        self._first = model
        self._free = asyncio.Lock()

    async def score(self, row: Mapping[str, Any]) -> Answer:
        """As whoever writes a server in an hour does it."""
        read = await asyncio.to_thread(self._first.scorer.read, row)
        [[asked]] = [one.versions for one in read.asked.values()]
        async with self._free:
            rewards = await asyncio.to_thread(self._forward, asked.encoded)
        scores = RowScores(rewards=rewards, spread=(0.0,) * len(rewards), probability=None)
        return Answer(model=self._first.address, scores=scores, num_tokens=asked.encoded.num_tokens)

    def _forward(self, encoded: Any) -> tuple[float, ...]:
        inputs, last = padded([encoded], self._image_token)
        with torch.inference_mode():
            return tuple(self._padded(inputs, last).tolist())


SIDES = ("ours", "cached", "naive")


@contextmanager
def model_folder(shape: str, tokenizer: str) -> Iterator[str]:
    """A model of random weights, as a training exports it."""
    known = load_tokenizer(tokenizer)
    size = ModelSize(shape=shape, vocabulary=known.vocab_size, special_ids=dict(known.special_ids))
    model = size.reward_model()
    recipe = PreprocessConfig(encode=EncodeConfig(max_pixels=MAX_PIXELS))
    reading = replace(Reading.of_config(recipe, tokenizer_fingerprint(tokenizer)), max_tokens=MAX_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        save_reward_model(
            folder, model.backbone, HeadConfig(), model.state_dict().items(),
            processor_from=tokenizer, lineage={}, reading=reading,
        )  # fmt: skip
        yield folder


async def serve_side(side: str, folder: str, port: int) -> None:
    """Answer until the process is ended."""
    found = find_model(folder, None, asdict(Reading.of_config(PreprocessConfig(), "")))
    config = CACHED if side == "cached" else CONFIG
    loaded = load_model(found, config)
    service = NaiveService(loaded, config, folder) if side == "naive" else RewardService(loaded, config)
    app = create_app(service, config, token_sha256=None)
    await uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error")).serve()


def main(side: str, folder: str, port: str, threads: str) -> None:
    """One side."""
    torch.set_num_threads(int(threads))
    asyncio.run(serve_side(side, folder, int(port)))


if __name__ == "__main__":
    main(*sys.argv[1:])
