"""What a recipe may say about data: keyword-only dataclasses, one sentence and a unit per field."""

from dataclasses import dataclass, field

__all__ = ["EncodeConfig", "FieldMap", "PreprocessConfig", "SourceConfig", "SplitConfig"]


@dataclass(kw_only=True)
class FieldMap:
    """Which field of a generic record (shape ``jsonl``) holds what."""

    id: str = "id"
    """Field with the record's own id; where it is absent, the row number serves."""
    prompt: str = "prompt"
    """Field with the prompt: a string, or a list of ``{"role", "content"}`` turns."""
    image: str = "image"
    """Field with the image: a path, a list of paths, ``{"bytes", "path"}``, or a base64 data URL. May be absent."""
    chosen: str = "chosen"
    """Field with the better answer of a pair."""
    rejected: str = "rejected"
    """Field with the worse answer of a pair."""
    responses: str = "responses"
    """Field with the list of K answers; where a record has it, `chosen` and `rejected` are not read."""
    text: str = "text"
    """Field of one response that holds its text."""
    score: str = "score"
    """Field of one response that holds its score; higher is better."""
    rank: str = "rank"
    """Field of one response that holds its rank; 0 is best; read where there is no score."""


@dataclass(kw_only=True)
class SourceConfig:
    """One preference data set."""

    name: str
    """The name that reports, counts and metrics show."""
    path: str
    """A file, or a glob of files, relative to `data_root` unless absolute or ``s3://``."""
    shape: str = "jsonl"
    """The record shape: jsonl, rlaif_v, vlfeedback, ultrafeedback or hh_rlhf."""
    media_root: str | None = None
    """The folder that image paths start from and may not leave; unset: the folder of the record's file."""
    fields: FieldMap = field(default_factory=FieldMap)
    """Field names, for shape ``jsonl`` only."""
    score_field: str = "aspects"
    """For ``ultrafeedback``: a score is the mean of the ``aspects``, or a field such as ``overall_score``."""
    limit: int | None = None
    """Read only the first so many records of the source; unset: all."""


@dataclass(kw_only=True)
class SplitConfig:
    """Which Comparisons are held out: a pure function of content, so that no image or prompt is on two sides."""

    heldout_fraction: float = 0.1
    """Share of the groups (same images, else same prompt) that are held out, 0 to 1."""
    seed: int = 0
    """Another seed holds out another part."""


@dataclass(kw_only=True)
class EncodeConfig:
    """How a Comparison becomes tokens."""

    max_tokens: int = 8192
    """Longest prompt plus longest response, in tokens; a longer Comparison is refused."""
    min_pixels: int = 56 * 56
    """An image with fewer pixels is enlarged to about this many."""
    max_pixels: int = 1_003_520
    """An image with more pixels is reduced to about this many; 784 pixels are one token."""
    max_source_pixels: int = 100_000_000
    """An image file that would decode to more pixels is refused unread."""
    max_source_bytes: int = 50_000_000
    """An image file with more bytes is refused unread."""
    system_prompt: str = "You are a helpful assistant."
    """The system turn of every prompt that brings none."""


@dataclass(kw_only=True)
class PreprocessConfig:
    """Raw records to Arrow shards."""

    sources: list[SourceConfig] = field(default_factory=list)
    """The data sets, in the order in which the first of two duplicates wins."""
    data_root: str = "."
    """The folder that relative source paths start from."""
    output: str = "shards"
    """The folder (local or ``s3://``) that is complete once it holds ``manifest.json``."""
    tokenizer: str = "model"
    """The folder with ``tokenizer.json``."""
    rows_per_unit: int = 256
    """Raw records a work unit, and so at most so many Comparisons a shard."""
    workers: int | None = None
    """Work units under way at once; unset: one for each CPU of the cluster."""
    split: SplitConfig = field(default_factory=SplitConfig)
    """What is held out."""
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    """Template, tokens and image sizes."""
