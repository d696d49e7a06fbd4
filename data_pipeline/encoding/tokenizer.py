"""The tokenizer of a model folder, and the training of a new one in the same format.

tokenizer.json --load_tokenizer--> ChatTokenizer --encode--> ids
texts --train_tokenizer--> tokenizer.json, tokenizer_config.json, chat_template.jinja
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from data_pipeline import storage
from data_pipeline.encoding.template import chat_template
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.media import IMAGE_FORMATS, INTERNVL

__all__ = [
    "SPECIAL_TOKENS",
    "ChatTokenizer",
    "load_tokenizer",
    "tokenizer_fingerprint",
    "train_tokenizer",
]

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""Special tokens of Qwen2.5-VL in the order of their ids, which follow the vocabulary."""
_MARKS = {name: (one.marks.start, one.marks.end, one.marks.pad) for name, one in IMAGE_FORMATS.items()}
"""Of each family's pictures, in the order of the ids of published tokenizers."""

_NEEDED = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# How Qwen2.5 cuts text into words before byte pairs are merged: single digits, no merging across letters and signs.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NUM_BYTES = 256
_SHORT = 64  # characters


class ChatTokenizer:
    """Text to ids, where text never becomes a special token: those are placed by id only.

    Pickles as its JSON, so that the copy in another process behaves the same.

    Args:
        definition: the text of a ``tokenizer.json``.

    Raises:
        MissingInput: the vocabulary lacks one of the special tokens of the chat format.
    """

    def __init__(self, definition: str) -> None:
        self._definition = definition
        self._tokenizer = Tokenizer.from_str(definition)
        # Without this "<|im_end|>" inside an answer would end the turn.
        self._tokenizer.encode_special_tokens = True
        special = {token.content: i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        _check_special(special)
        known = dict.fromkeys([*SPECIAL_TOKENS, *chain(*_MARKS.values())])
        self.special_ids: Mapping[str, int] = {name: special[name] for name in known if name in special}
        """Ids of the special tokens by name, such as ``"<|im_end|>"``."""
        self.image_token: int = special["<|image_pad|>"]
        self.video_token: int = special["<|video_pad|>"]
        # The template's own texts ("user\n", the system prompt) come with every Comparison.
        self._short = lru_cache(maxsize=4096)(lambda text: tuple(self._encode(text)) if text else ())
        self.fingerprint: str = hashlib.sha256(definition.encode()).hexdigest()
        """sha256 of ``tokenizer.json``, hex."""

    @cached_property
    def vocab_size(self) -> int:
        """Rows an embedding needs: the largest id, special tokens included, plus one."""
        return int(max(self._tokenizer.get_vocab(with_added_tokens=True).values())) + 1

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; "" gives none."""
        if len(text) <= _SHORT:
            return list(self._short(text))
        return self._encode(text)

    def _encode(self, text: str) -> list[int]:
        # The "fast" one keeps no character offsets: 0.32 instead of 0.58 ms for a dialogue of 140 tokens.
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`, special tokens written out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def __reduce__(self) -> tuple[type["ChatTokenizer"], tuple[str]]:
        return (ChatTokenizer, (self._definition,))


def load_tokenizer(folder: str) -> ChatTokenizer:
    """The tokenizer of `folder` (local or ``s3://``), from its ``tokenizer.json``.

    Raises:
        MissingInput: no such file, or the chat format's special tokens are not in it.
        CorruptData: the file is no JSON object.
    """
    text = _read(folder)
    url = storage.join(folder, "tokenizer.json")
    try:
        readable = isinstance(json.loads(text), dict)
    except ValueError as error:
        raise CorruptData(f"{url!r} is no JSON: {error}; copy it again") from error
    if not readable:
        raise CorruptData(f"{url!r} holds no JSON object; copy it again")
    return ChatTokenizer(text)


def tokenizer_fingerprint(folder: str) -> str:
    """`ChatTokenizer.fingerprint` of the folder's tokenizer, without parsing its megabytes.

    Raises:
        MissingInput: no such file, or the chat format's special tokens are not in it.
        CorruptData: the file breaks off, or is no JSON object.
    """
    text = _read(folder)
    if not (text.startswith("{") and text.rstrip().endswith("}")):
        raise CorruptData(f"{storage.join(folder, 'tokenizer.json')!r} is no whole JSON object; copy it again")
    _check_special([name for name in _NEEDED if json.dumps(name) in text])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(folder: str) -> str:
    url = storage.join(folder, "tokenizer.json")
    if storage.name_of(folder) == "tokenizer.json" and not storage.exists(url):
        raise MissingInput(f"the tokenizer {folder!r} is a file: name the folder that holds it")
    try:
        return storage.read_bytes(url).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorruptData(f"{url!r} is no JSON: {error}; copy it again") from error


def _check_special(names: Iterable[str]) -> None:
    found = set(names)
    if missing := [name for name in _NEEDED if name not in found]:
        raise MissingInput(
            f"the tokenizer has no special tokens {', '.join(missing)}: take one with the chat format of Qwen2.5-VL"
        )


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: str, *, family: str = "qwen2.5-vl") -> None:
    """Train byte-level BPE with the pieces of Qwen2.5's and write it as a folder that transformers loads.

    The same texts in the same order give the same bytes. Writes tokenizer.json, tokenizer_config.json and
    chat_template.jinja; any text can be encoded, seen or not.

    Args:
        vocab_size: ids in all, special tokens included; fewer where the texts have no more pairs to merge.
        family: of backbones, as `EncodeConfig.family`: the tokens of its pictures are among the special ones.

    Raises:
        RecipeError: `vocab_size` leaves no room for 256 bytes and the special tokens.
    """
    specials = list(dict.fromkeys([*SPECIAL_TOKENS, *_MARKS[family]]))
    smallest = _NUM_BYTES + len(specials)
    if vocab_size < smallest:
        raise RecipeError(f"vocab_size={vocab_size} is below {smallest} (256 bytes and {len(specials)} specials)")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    # By hand, since `save_pretrained` writes another tokenizer.json, and prepared data carry the sha256 of this one.
    storage.write_atomic(storage.join(folder, "tokenizer.json"), tokenizer.to_str(pretty=True).encode())
    storage.write_atomic(
        storage.join(folder, "tokenizer_config.json"), _json(_tokenizer_config(tokenizer, specials, family))
    )
    storage.write_atomic(storage.join(folder, "chat_template.jinja"), chat_template(family=family).encode())


def _tokenizer_config(tokenizer: Tokenizer, specials: Sequence[str], family: str) -> dict[str, Any]:
    added = {
        str(i): {
            "content": token.content,
            "lstrip": token.lstrip,
            "normalized": token.normalized,
            "rstrip": token.rstrip,
            "single_word": token.single_word,
            "special": token.special,
        }
        for i, token in tokenizer.get_added_tokens_decoder().items()
    }
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": [name for name in specials if name != "<|endoftext|>"],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "processor_class": "Qwen2_5_VLProcessor",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    if family == INTERNVL.name:  # the names under which its processor asks for them
        marks = INTERNVL.marks
        named = {"start_image_token": marks.start, "end_image_token": marks.end, "context_image_token": marks.pad}
        config |= {"extra_special_tokens": named, "processor_class": "InternVLProcessor"}
    return config


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
