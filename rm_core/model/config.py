"""What a recipe may say about the model."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, one_of

__all__ = ["GROUPS", "PARADIGMS", "WRITERS", "HeadConfig", "ImportModelConfig", "InitModelConfig", "LoraConfig"]

GROUPS = ("vision", "merger", "language", "embeddings", "head")
"""The groups of weights that a recipe may train, freeze, or give a rate of their own."""

PARADIGMS = ("scalar", "critic", "generative")
"""Kinds of reward models: scalar reads a response; critic writes a critique of it first, and reads both; generative
reads two responses and says which is better."""
WRITERS = ("critic", "generative")
"""Those that carry their backbone's language head."""


@dataclass(kw_only=True)
class HeadConfig:
    """The reward head: hidden state of a response -> scalar. Computed in float32."""

    pooling: str = one_of("last", ("last", "mean"))
    """What of a response the head reads: last (its last token), or mean (the mean over its tokens)."""
    layers: int = bounded(2, at_least=1, at_most=5)
    """Linear layers, 1 to 5; the paper's best is 2."""
    activation: str = one_of("silu", ("none", "tanh", "silu", "relu", "gelu"))
    """Between the layers: none, tanh, silu, relu or gelu."""
    width: int | None = bounded(None, at_least=1)
    """Units of every hidden layer; unset: the backbone's hidden size."""
    dropout: float = bounded(0.0, at_least=0, below=1)
    """Share of the units dropped before each layer while training, 0 to 1."""
    bias: bool = True
    """Whether the hidden layers have a bias."""
    output_bias: bool = False
    """Whether the last layer has one, as heads of other programs have; a pairwise objective can't learn it."""
    init_std: float | None = bounded(None, above=0)
    """Standard deviation of the initial weights; unset: 1 / sqrt(inputs) of each layer."""
    uncertainty: bool = False
    """Give a mean and a variance for each response instead of a scalar; objectives compare them as two Gaussians."""


@dataclass(kw_only=True)
class LoraConfig:
    """Low-rank adapters beside linear layers (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = bounded(16, at_least=1)
    """Inner dimension of an adapter."""
    alpha: float = bounded(32.0, above=0, cure="adapters scaled by 0 learn nothing")
    """An adapter's product is scaled by `alpha` / `rank`."""
    dropout: float = bounded(0.0, at_least=0, below=1)
    """Share of an adapter's inputs dropped while training, 0 to 1."""
    targets: list[str] = field(default_factory=list)
    """Names of the linear layers that get adapters, such as q_proj; empty: every linear layer of the group."""


@dataclass(kw_only=True)
class InitModelConfig:
    """Write a random-weight backbone with tokenizer and processor (`basereward init-model`)."""

    output: str = "model"
    """The folder to write; it is complete once it holds ``model.json``."""
    shape: str = "tiny"
    """A size by name: of Qwen2.5-VL (nano, tiny, small, mid, 3b, 7b, 32b, 72b), or with its family (qwen3-8b, ...)."""
    tokenizer: str | None = None
    """A folder with ``tokenizer.json`` to copy; unset: train a byte-level BPE on the recipe's sources."""
    vocab_size: int = bounded(1024, at_least=1)
    """Entries of a trained tokenizer, special tokens included."""
    max_training_records: int = bounded(20_000, at_least=1)
    """Records of the sources that a trained tokenizer is trained on, at most."""
    language_head: bool = False
    """Whether it can write: its table of token embeddings is its language head too, as in small published models."""
    seed: int = bounded(0, at_least=-(2**63), below=2**63)
    """Seed of the weights."""
    dtype: str = one_of("float32", ("float32", "bfloat16"))
    """Type of the weights on disk: float32 or bfloat16."""


@dataclass(kw_only=True)
class ImportModelConfig:
    """Make another program's reward model one of ours (`basereward import-model`)."""

    source: str | None = None
    """The folder with the model, local, ``s3://`` or ``hf://ORG/NAME@COMMIT``, or the hub's id ``ORG/NAME``."""
    adapter: str | None = None
    """The folder with a LoRA adapter of PEFT that is added to its weights, local, ``s3://`` or ``hf://``; unset: none,
    and a folder that holds one beside its weights is refused."""
    output: str = "imported"
    """The folder to write; it is complete once it holds ``model.json``."""
    dtype: str = one_of("as_saved", ("as_saved", "float32", "bfloat16"))
    """Type of the backbone's weights on disk: as_saved (another type than these as float32), float32 or bfloat16; the
    head is kept in float32."""
