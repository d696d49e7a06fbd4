"""Reward models and chats for tests of other programs: scored by the packed path, and as Transformers reads them."""

import io
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer

from data_pipeline.config import EncodeConfig, MediaConfig, PreprocessConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer, tokenizer_fingerprint, train_tokenizer
from data_pipeline.media import load_image
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import save_reward_model
from rm_core.model_folder.reading import reading_of
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer

BUDGET = PackBudget(tokens=4096, patches=8192)
ANSWERS = ("A wren.", "It is a wren, and it sings", " a space", "a space ", "two\nlines\n", "\nbreak", "\n\n")
"""Answers that begin or end with white space among them."""
BREAKS_FIRST = tuple(answer for answer in ANSWERS if answer.startswith("\n"))
"""Those whose first token Transformers joins with the header's line break."""
ENCODE = EncodeConfig(system_prompt="Judge.")


def chat_tokenizer(folder: Path, family: str = "qwen2.5-vl") -> Path:
    """Write a tokenizer that, as those of published models, has a token for two line breaks."""
    folder.mkdir()
    texts = ["What is it? It is a wren.\n\nTwo lines\nof it." + "\n\n x" * 60]
    train_tokenizer(texts, 320, str(folder), family=family)
    return folder


def write_model(folder: Path, shape: str, head: HeadConfig, tokenizer: Path, encode: EncodeConfig = ENCODE) -> str:
    """A reward model with random weights, as training would leave it."""
    known = load_tokenizer(str(tokenizer))
    config = backbone_config(shape, vocab_size=known.vocab_size, special_ids=dict(known.special_ids))
    model = RewardModel(new_backbone(config, seed=3, dtype=torch.float32), replace(head, init_std=0.2))
    model.head.initialise(4)
    save_reward_model(
        str(folder), model.backbone, head, model.state_dict().items(), processor_from=str(tokenizer),
        lineage={"recipe": "mine", "imported_from": "/srv/models/Theirs"},
        reading=Reading.of_config(PreprocessConfig(encode=encode), tokenizer_fingerprint(str(tokenizer))),
    )  # fmt: skip
    return str(folder)


def picture(seed: int, height: int = 84, width: int = 112) -> bytes:
    """A PNG of noise whose sides are multiples of 28: no program resizes it."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def encoded(folder: str, answer: str, image: bytes | None = None, question: str = "What is it?") -> EncodedComparison:
    """One chat as our own encoder reads it for the model in `folder`."""
    reading = reading_of(folder)
    assert reading is not None
    parts = (ImageSlot(0), question) if image else (question,)
    media = (MediaRef(data=image),) if image else ()
    one = Comparison("0", "chats", (Turn("user", parts),), (Response((answer,), rank=0),), media)
    loaded = [load_image(ref, ".", MediaConfig()) for ref in media]
    return Encoder(load_tokenizer(folder), reading.encode).encode(one, loaded)


def our_rewards(folder: str, items: list[EncodedComparison]) -> list[float]:
    """As `basereward score` computes them."""
    return [reward for (reward,) in Scorer(folder, BUDGET, attention="sdpa").score(items)]


def tokens_of(item: EncodedComparison) -> list[int]:
    """Prompt and answer as one row."""
    return [*item.prefix_ids.tolist(), *item.response_ids[0].tolist()]


@cache
def _read_by(loader: Any, folder: Path | str) -> Any:
    return loader.from_pretrained(folder)


def chat_text(folder: Path | str, answer: str, image: bytes | None = None) -> str:
    """The same chat through the chat template of an exported folder."""
    shown = [{"type": "image"}] if image else []
    turns = [
        {"role": "user", "content": [*shown, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": answer},
    ]
    return text_of_chat(folder, turns)


def text_of_chat(folder: Path | str, turns: list[dict[str, Any]]) -> str:
    """Any chat through that template."""
    text: str = _read_by(AutoTokenizer, folder).apply_chat_template(turns, tokenize=False)
    return text


def inputs_of(folder: Path | str, answer: str, image: bytes | None = None) -> dict[str, Tensor]:
    """What Transformers' tokenizer and image processor make of it (`AutoProcessor` of both would need torchvision)."""
    return inputs_of_text(folder, chat_text(folder, answer, image), image)


def inputs_of_text(folder: Path | str, text: str, image: bytes | None = None) -> dict[str, Tensor]:
    """The same of a chat that the template has made a text of; the image stands at its one place."""
    tokenizer = _read_by(AutoTokenizer, folder)
    inputs: dict[str, Tensor] = {}
    if image:
        inputs = dict(
            _read_by(AutoImageProcessor, folder)(images=[PILImage.open(io.BytesIO(image))], return_tensors="pt")
        )
        if tiles := inputs.pop("num_patches", None):
            text = text.replace("<IMG_CONTEXT>", f"<img>{'<IMG_CONTEXT>' * 256 * tiles[0]}</img>")
        else:
            text = text.replace("<|image_pad|>", "<|image_pad|>" * (int(inputs["image_grid_thw"].prod()) // 4))
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = (ids == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
    return inputs
