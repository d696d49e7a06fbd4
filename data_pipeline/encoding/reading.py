"""How records become tokens and pixels: what prepared data were made with, and what a model has learnt to read.

    PreprocessConfig, tokenizer.json -> Reading -> the data's manifest -> training -> reading.json of the exported model

A model that is given records read in another way gives rewards without meaning, and nothing else would tell.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from data_pipeline.config import EncodeConfig, MediaConfig, PreprocessConfig
from data_pipeline.errors import CorruptData, RecipeError

__all__ = ["CHAT_FORMAT", "READING_FILE", "Reading", "check_same_reading"]

CHAT_FORMAT = "qwen2.5-vl"
"""The only format of turns that `encoder` and `template` write."""
READING_FILE = "reading.json"
"""Of a model folder."""
_OTHER_TOKENS = (
    "token ids mean other texts there: preprocess the records with that model's tokenizer (preprocess.tokenizer names "
    "its folder), or name the model whose tokenizer prepared them"
)
_LIMITS = ("preprocess.rules.max_tokens", "preprocess.media.max_source_pixels", "preprocess.media.max_source_bytes")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How records are read."""

    tokenizer: str = ""
    """sha256 of ``tokenizer.json``; empty: not known, an earlier version did not write it."""
    template: str = CHAT_FORMAT
    """The format of turns."""
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    """System prompt and pixel limits."""
    max_tokens: int
    """Longest prompt plus longest response, in tokens; longer ones are refused."""
    max_source_pixels: int
    """An image file that would decode to more is refused unread."""
    max_source_bytes: int
    """An image file with more is refused unread."""

    @classmethod
    def of_config(cls, config: PreprocessConfig, tokenizer: str) -> "Reading":
        """What a recipe says, with the tokenizer of that sha256."""
        return cls(
            tokenizer=tokenizer,
            encode=config.encode,
            max_tokens=config.rules.max_tokens,
            max_source_pixels=config.media.max_source_pixels,
            max_source_bytes=config.media.max_source_bytes,
        )

    @classmethod
    def of_manifest(cls, config: Mapping[str, Any], tokenizer: str) -> "Reading":
        """The settings in the `config` of a manifest of prepared data."""
        return cls(
            tokenizer=tokenizer,
            encode=EncodeConfig(**config["encode"]),
            max_tokens=config["rules"]["max_tokens"],
            max_source_pixels=config["media"]["max_source_pixels"],
            max_source_bytes=config["media"]["max_source_bytes"],
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Reading":
        """What `asdict` gave.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(**{**content, "encode": EncodeConfig(**content["encode"])})

    @classmethod
    def from_bytes(cls, data: bytes, url: str) -> "Reading":
        """What `to_bytes` gave; `url` is for messages.

        Raises:
            CorruptData: it is something else.
        """
        try:
            return cls.from_json(json.loads(data))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptData(
                f"{url!r} does not say how a model reads records ({type(error).__name__}: {error}): export or copy "
                "the model again"
            ) from error

    def to_bytes(self) -> bytes:
        """As readable JSON."""
        return (json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def media(self) -> MediaConfig:
        """The same bounds for reading images; nothing is fetched from anywhere."""
        return self.bounded(MediaConfig())

    def bounded(self, media: MediaConfig) -> MediaConfig:
        """`media` with the bounds of this reading."""
        return replace(media, max_source_pixels=self.max_source_pixels, max_source_bytes=self.max_source_bytes)

    def learnt(self) -> dict[str, Any]:
        """What the weights of a model have learnt, whatever it is trained on afterwards: the meaning of token ids."""
        return {"tokenizer": self.tokenizer, "template": self.template}

    def tokens_and_pixels(self) -> dict[str, Any]:
        """What makes other tokens or pixels of the same record, by the key of a recipe that decides it."""
        encode = {key: value for key, value in asdict(self.encode).items() if key != "reasonings"}  # beside the answers
        return self.learnt() | {f"preprocess.encode.{key}": value for key, value in encode.items()}

    def all(self) -> dict[str, Any]:
        """The same, and what is refused as too long or too large."""
        limits = (self.max_tokens, self.max_source_pixels, self.max_source_bytes)
        return self.tokens_and_pixels() | dict(zip(_LIMITS, limits, strict=True))


def check_same_reading(
    model: Mapping[str, Any], other: Mapping[str, Any], *, names: tuple[str, str], cure: str
) -> None:
    """Refuse what a model would read in another way than it was trained.

    Args:
        model: `learnt`, `tokens_and_pixels` or `all` of the model's reading.
        other: the same of the recipe or the data that it is used with. Of an empty tokenizer nothing is known.
        names: what a message calls both.
        cure: what to do where keys of a recipe differ; ``{settings}`` stands for them with the model's values.

    Raises:
        RecipeError: they differ; has every key that does, with both values.
    """
    keys = [key for key, theirs in model.items() if theirs != other[key]]
    if "tokenizer" in keys and "" in (model["tokenizer"], other["tokenizer"]):
        keys.remove("tokenizer")
    if not keys:
        return
    what = cure.format(settings=" ".join(f"{key}={model[key]!r}" for key in keys))
    if tokens := [key for key in keys if key in ("tokenizer", "template")]:
        keys, what = tokens, _OTHER_TOKENS
    differ = (
        f"{'tokenizer (sha256)' if key in ('tokenizer', 'template') else key} is {model[key]!r} for the first and "
        f"{other[key]!r} for the second"
        for key in keys
    )
    raise RecipeError(f"{names[0]} and {names[1]} read records in different ways: {'; '.join(differ)}; {what}")
