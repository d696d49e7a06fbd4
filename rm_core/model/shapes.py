"""The sizes of every family by name, with the numbers of the published `config.json` files, and small ones for tests.

A name is a size of Qwen2.5-VL ("7b"), or a family and a size ("qwen2-vl-7b", "qwen3-vl-8b", "internvl3-8b",
"internvl3.5-8b", "qwen2.5-7b", "qwen3-8b").
"""

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["SHAPES", "Shape", "Tower"]


@dataclass(frozen=True, kw_only=True)
class Tower:
    """Numbers of a vision tower; `windows` False: every block attends to a whole frame.

    `middle`: blocks whose features are added behind decoder layers too, of Qwen3-VL. `rms`: of InternViT-6B, whose
    norms are RMSNorms, whose queries and keys have such norms too, and no biases.
    """

    hidden: int = 1280
    intermediate: int
    layers: int = 32
    heads: int = 16
    full_attention_blocks: tuple[int, ...] = (7, 15, 23, 31)
    windows: bool = True
    middle: tuple[int, ...] = ()
    rms: bool = False


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Numbers of one size.

    Attributes:
        model_type: Transformers' name of the family.
        decoder: Transformers' name of the decoder's, where a family has several (InternVL).
        head_size: of one attention head; None: hidden / heads.
        vocab: None: the tokenizer's own length, rounded up to 64.
        tower: None: a text-only backbone.
    """

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    model_type: str = "qwen2_5_vl"
    decoder: str | None = None
    head_size: int | None = None
    vocab: int | None = None
    tower: Tower | None = None


def _vl(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, tower: int, vocab: int) -> Shape:
    """Qwen2.5-VL: the published sizes share the vision tower, all but its MLP width."""
    return Shape(
        hidden=hidden, intermediate=intermediate, layers=layers, heads=heads, kv_heads=kv_heads, vocab=vocab,
        tower=Tower(intermediate=tower),
    )  # fmt: skip


def _vl2(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, vocab: int) -> Shape:
    """Qwen2-VL: one vision tower, without windows."""
    return Shape(
        model_type="qwen2_vl", hidden=hidden, intermediate=intermediate, layers=layers, heads=heads,
        kv_heads=kv_heads, vocab=vocab, tower=Tower(intermediate=5120, windows=False),
    )  # fmt: skip


def _vl3(hidden: int, intermediate: int, layers: int, heads: int, tower: Tower) -> Shape:
    """Qwen3-VL: the decoder of Qwen3 behind one of two towers."""
    return Shape(
        model_type="qwen3_vl", hidden=hidden, intermediate=intermediate, layers=layers, heads=heads, kv_heads=8,
        head_size=128, vocab=151_936, tower=tower,
    )  # fmt: skip


def _internvl(of: Shape, tower: Tower) -> Shape:
    """InternVL3 or InternVL3.5: the decoder of Qwen2.5, with a vocabulary of its own, or of Qwen3, behind a tower."""
    vocab = 151_674 if of.vocab and of.model_type == "qwen2" else of.vocab
    return replace(of, model_type="internvl", decoder=of.model_type, vocab=vocab, tower=tower)


def _text(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, vocab: int) -> Shape:
    """Qwen2.5."""
    return Shape(
        model_type="qwen2", hidden=hidden, intermediate=intermediate, layers=layers, heads=heads,
        kv_heads=kv_heads, vocab=vocab,
    )  # fmt: skip


def _text3(hidden: int, intermediate: int, layers: int, heads: int) -> Shape:
    """Qwen3: heads of 128 whatever the hidden size, 8 key/value heads."""
    return Shape(
        model_type="qwen3", hidden=hidden, intermediate=intermediate, layers=layers, heads=heads, kv_heads=8,
        head_size=128, vocab=151_936,
    )  # fmt: skip


_TINY: dict[str, Any] = {"hidden": 128, "intermediate": 256, "layers": 3, "heads": 4, "kv_heads": 2}
_TINY_TOWER = Tower(hidden=64, intermediate=128, layers=2, heads=2, full_attention_blocks=(1,))
_TOWER3 = Tower(hidden=1152, intermediate=4304, layers=27, windows=False, middle=(8, 16, 24))
_SMALLER_TOWER3 = Tower(hidden=1024, intermediate=4096, layers=24, windows=False, middle=(5, 11, 17))
"""Of 2B and 4B."""
_INTERNVIT = Tower(hidden=1024, intermediate=4096, layers=24, windows=False)
"""InternViT-300M."""
_INTERNVIT_6B = Tower(hidden=3200, intermediate=12800, layers=45, heads=25, windows=False, rms=True)
_TINY_INTERNVIT = Tower(hidden=64, intermediate=128, layers=2, heads=2, windows=False)

_OF_TEXT: dict[str, Shape] = {
    "qwen2.5-tiny": Shape(**_TINY, model_type="qwen2"),
    "qwen2.5-0.5b": _text(896, 4864, 24, 14, 2, 151_936),
    "qwen2.5-1.5b": _text(1536, 8960, 28, 12, 2, 151_936),
    "qwen2.5-3b": _text(2048, 11008, 36, 16, 2, 151_936),
    "qwen2.5-7b": _text(3584, 18944, 28, 28, 4, 152_064),
    "qwen2.5-14b": _text(5120, 13824, 48, 40, 8, 152_064),
    "qwen2.5-32b": _text(5120, 27648, 64, 40, 8, 152_064),
    "qwen2.5-72b": _text(8192, 29568, 80, 64, 8, 152_064),
    "qwen3-tiny": Shape(**_TINY, model_type="qwen3", head_size=32),
    "qwen3-0.6b": _text3(1024, 3072, 28, 16),
    "qwen3-1.7b": _text3(2048, 6144, 28, 16),
    "qwen3-4b": _text3(2560, 9728, 36, 32),
    "qwen3-8b": _text3(4096, 12288, 36, 32),
    "qwen3-14b": _text3(5120, 17408, 40, 40),
    "qwen3-32b": _text3(5120, 25600, 64, 64),
}  # fmt: skip

SHAPES: dict[str, Shape] = {
    "nano": Shape(hidden=64, intermediate=128, layers=2, heads=2, kv_heads=1, tower=_TINY_TOWER),
    "tiny": Shape(**_TINY, tower=_TINY_TOWER),
    "small": Shape(hidden=256, intermediate=512, layers=4, heads=8, kv_heads=2, tower=_TINY_TOWER),
    "mid": Shape(
        hidden=512, intermediate=1408, layers=8, heads=8, kv_heads=2,
        tower=Tower(hidden=320, intermediate=856, layers=8, heads=4, full_attention_blocks=(3, 7)),
    ),
    "3b": _vl(2048, 11008, 36, 16, 2, 3420, 151_936),
    "7b": _vl(3584, 18944, 28, 28, 4, 3420, 152_064),
    "32b": _vl(5120, 27648, 64, 40, 8, 3456, 152_064),
    "72b": _vl(8192, 29568, 80, 64, 8, 3456, 152_064),
    "qwen2-vl-tiny": Shape(
        **_TINY, model_type="qwen2_vl", tower=Tower(hidden=64, intermediate=128, layers=2, heads=2, windows=False)
    ),
    "qwen2-vl-2b": _vl2(1536, 8960, 28, 12, 2, 151_936),
    "qwen2-vl-7b": _vl2(3584, 18944, 28, 28, 4, 152_064),
    "qwen2-vl-72b": _vl2(8192, 29568, 80, 64, 8, 152_064),
    "qwen3-vl-tiny": Shape(
        **_TINY, model_type="qwen3_vl", head_size=32,
        tower=Tower(hidden=64, intermediate=128, layers=3, heads=2, windows=False, middle=(0, 1)),
    ),
    "qwen3-vl-2b": _vl3(2048, 6144, 28, 16, _SMALLER_TOWER3),
    "qwen3-vl-4b": _vl3(2560, 9728, 36, 32, _SMALLER_TOWER3),
    "qwen3-vl-8b": _vl3(4096, 12288, 36, 32, _TOWER3),
    "qwen3-vl-32b": _vl3(5120, 25600, 64, 64, _TOWER3),
    "internvl3-tiny": _internvl(_OF_TEXT["qwen2.5-tiny"], _TINY_INTERNVIT),
    "internvl3-1b": _internvl(_OF_TEXT["qwen2.5-0.5b"], _INTERNVIT),
    "internvl3-2b": _internvl(_OF_TEXT["qwen2.5-1.5b"], _INTERNVIT),
    "internvl3-8b": _internvl(_OF_TEXT["qwen2.5-7b"], _INTERNVIT),
    "internvl3-14b": _internvl(_OF_TEXT["qwen2.5-14b"], _INTERNVIT),
    "internvl3-38b": _internvl(_OF_TEXT["qwen2.5-32b"], _INTERNVIT_6B),
    "internvl3-78b": _internvl(_OF_TEXT["qwen2.5-72b"], _INTERNVIT_6B),
    "internvl3.5-tiny": _internvl(_OF_TEXT["qwen3-tiny"], _TINY_INTERNVIT),
    "internvl3.5-1b": _internvl(_OF_TEXT["qwen3-0.6b"], _INTERNVIT),
    "internvl3.5-2b": _internvl(_OF_TEXT["qwen3-1.7b"], _INTERNVIT),
    "internvl3.5-4b": _internvl(_OF_TEXT["qwen3-4b"], _INTERNVIT),
    "internvl3.5-8b": _internvl(_OF_TEXT["qwen3-8b"], _INTERNVIT),
    "internvl3.5-14b": _internvl(_OF_TEXT["qwen3-14b"], _INTERNVIT),
    "internvl3.5-38b": _internvl(_OF_TEXT["qwen3-32b"], _INTERNVIT_6B),
} | _OF_TEXT  # fmt: skip
