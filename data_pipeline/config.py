"""What a recipe may say about data: keyword-only dataclasses, one sentence and a unit per field.

Two kinds of settings. Those of *transforming* (sources, `MediaConfig`, `EncodeConfig`) decide the bytes of the shards.
Those of *filtering* (`RulesConfig`, `DecontaminateConfig`, `SplitConfig`, `MixtureConfig`, and a source's cap, repeat,
weight and seed) decide which rows of the shards are used: changing one writes a new manifest and reads no media.
"""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, one_of, unbounded

__all__ = [
    "DecontaminateConfig",
    "EncodeConfig",
    "FieldMap",
    "HubConfig",
    "MediaConfig",
    "MixtureConfig",
    "NearDuplicateConfig",
    "PreprocessConfig",
    "RulesConfig",
    "SourceConfig",
    "SplitConfig",
]


_SLOW = "more bits would need a slower search"


@dataclass(kw_only=True)
class FieldMap:
    """Which field of a generic record (shape ``jsonl`` or ``answered``, also of CSV and parquet) holds what."""

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
    response_image: str = "image"
    """Field of one response that holds its image or images (text-to-image preferences). May be absent."""
    critique: str = "critique"
    """Field of one response that holds what somebody wrote about it. May be absent."""
    chosen_critique: str = "chosen_critique"
    """Field with the critique of the better answer of a pair. May be absent."""
    rejected_critique: str = "rejected_critique"
    """Field with the critique of the worse answer of a pair. May be absent."""
    answer: str = "answer"
    """Field with the right answer of a question (shape ``answered``)."""
    options: str = "options"
    """Field with the options of a question (shape ``answered``). May be absent."""
    reasonings: str = "reasonings"
    """Field with what somebody wrote about two of the answers, a list of ``{"first", "second", "text"}``: places among
    the answers, of a pair 0 for the better one. May be absent."""
    ignored: list[str] = field(default_factory=list)
    """Fields of any shape that mean nothing here, as dotted paths (``thumbnail``, ``chosen.tool_calls``, ``meta.*``):
    nothing is lost where they are not read."""


@dataclass(kw_only=True)
class HubConfig:
    """Where ``basereward fetch`` has a source's files from: a data set's repository on the Hugging Face hub."""

    dataset: str
    """The repository, ``ORG/NAME``."""
    folder: str
    """The folder below `data_root` that the files are put in, each under its own path in the repository."""
    files: list[str] = field(default_factory=list)
    """Globs of the files to fetch, in which ``**`` crosses folders; everything else stays on the hub."""
    joined: dict[str, str] = field(default_factory=dict)
    """Files that are published in parts: the path of the whole -> a glob of its parts, joined in order of their names
    (``images.zip: images.zip_*``)."""
    revision: str | None = None
    """The commit, 40 hex digits; unset: the newest one when it is fetched first, which `data_root` remembers."""


@dataclass(kw_only=True)
class SourceConfig:
    """One preference data set."""

    name: str
    """The name that reports, counts and metrics show."""
    path: str
    """A file, a folder or a glob of files, relative to `data_root` unless absolute, ``s3://`` or ``hf://``; a path may
    lead into an archive, as in ``annotations.zip/*.jsonl``."""
    shape: str = "jsonl"
    """The record shape: a name of the table in docs/data.md."""
    media_root: str | None = None
    """The folder or archive that image paths start from and may not leave; unset: the folder of the record's file."""
    fields: FieldMap = field(default_factory=FieldMap)
    """Field names, for the shapes ``jsonl`` and ``answered`` only."""
    score_field: str = "aspects"
    """For ``ultrafeedback``: a score is the mean of the ``aspects``, or a field such as ``overall_score``."""
    responses: str = one_of("all", ("all", "extremes"))
    """Which responses of a Comparison to keep: ``all``, or the ``extremes`` (one best and one worst: a hard pair)."""
    missing_critiques: str = one_of("refuse", ("refuse", "keep"))
    """What becomes of a Comparison with a response without a critique, where `encode.critiques` are read: ``refuse``
    it, or ``keep`` it to be scored: a model that was trained writes the critique then."""
    missing_reasonings: str = one_of("refuse", ("refuse", "keep"))
    """What becomes of a Comparison with a pair of answers without a reasoning, where `encode.reasonings` are read:
    ``refuse`` it, or ``keep`` it to be scored: a judge that was trained writes the reasoning then."""
    limit: int | None = bounded(None, at_least=1)
    """Read only the first so many records of the source; unset: all."""
    cap: int | None = bounded(None, at_least=1)
    """Train on at most so many Comparisons of the source, chosen by hash with `seed`; unset: all."""
    repeat: float = bounded(1.0, at_least=0)
    """How often an epoch shows each training Comparison; 1.5 shows every one once and half of them twice."""
    weight: float | None = bounded(None, above=0)
    """The source's share of an epoch relative to the other sources' weights; set on all sources or on none."""
    seed: int = unbounded(0)
    """Seed of the source's cap and of the fraction of its repeats."""
    split: str | None = one_of(None, ("train", "heldout"))
    """``train`` or ``heldout`` puts the whole source in that split; unset: by content."""
    hub: HubConfig | None = None
    """Where ``basereward fetch`` has its files from; unset: they are put there by hand."""
    by_hand: str | None = None
    """What ``basereward fetch`` can't bring, and where it is had; it says so."""


@dataclass(kw_only=True)
class MediaConfig:
    """What an image or video reference may lead to."""

    max_source_pixels: int = bounded(100_000_000, at_least=1)
    """An image file that would decode to more pixels is refused unread; above 179 million all are. A pixel counts twice
    in AVIF, JPEG 2000 and WEBP, which take twice the memory: 1.3 GB for the default."""
    max_source_bytes: int = bounded(50_000_000, at_least=1)
    """An image file with more bytes is refused unread."""
    keep_original_bytes: int = bounded(1_000_000, at_least=0)
    """A larger image file is stored as its resized pixels, losslessly, where that takes fewer bytes; not for InternVL,
    which sees every image at two sizes."""
    videos: str = one_of("video", ("video", "frames"))
    """How a video is shown: as one ``video`` with time, or as its ``frames``, each of them an image."""
    max_frames: int = bounded(16, at_least=1)
    """Frames taken of a video (a folder of frames, or a file), evenly over its length."""
    frames_per_second: float = bounded(1.0, above=0)
    """Frames a second that the folders of videos hold; it gives a video's tokens their place in time. A file says it
    itself."""
    max_video_bytes: int = bounded(256_000_000, at_least=1)
    """A video file with more bytes is refused unread."""
    max_video_seconds: float = bounded(1800.0, above=0)
    """A longer video file is refused before it is decoded."""
    max_video_frames: int = bounded(54_000, at_least=1)
    """A video file with more frames is refused before it is decoded; the default is half an hour at 30 a second."""
    max_frame_pixels: int = bounded(8_912_896, at_least=1)
    """A video file whose frames have more pixels is refused; the default is 4096 x 2176. The decoder may hold 17
    of them."""
    allowed_hosts: list[str] = field(default_factory=list)
    """Hosts that ``http(s)://`` images may be fetched from; empty: none are."""
    fetch_timeout_s: float = bounded(20.0, above=0)
    """Seconds after which fetching one image is given up."""
    missing: str = one_of("refuse", ("refuse", "fail"))
    """What a media file that is not there does: ``refuse`` its record, or ``fail`` the run."""
    unavailable: str = one_of("fail", ("refuse", "fail"))
    """What media do that can't be had now (a host is down, a store refuses the keys): ``fail`` the run, which the same
    command goes on with, or ``refuse`` their records."""


@dataclass(kw_only=True)
class EncodeConfig:
    """How a Comparison becomes tokens."""

    family: str = one_of("qwen2.5-vl", ("qwen2.5-vl", "qwen3-vl", "internvl"))
    """The family of backbones that pictures are prepared for: ``qwen2.5-vl`` (Qwen2-VL too), ``qwen3-vl`` or
    ``internvl`` (InternVL3 and InternVL3.5). It decides the grid to which they are resized or the tiles into which they
    are cut, how their colours are scaled, which tokens stand for them, and whether a video has its times as text."""
    min_pixels: int = bounded(56 * 56, at_least=1)
    """An image with fewer pixels is enlarged to about this many; InternVL counts tiles instead."""
    max_pixels: int = bounded(1_003_520, at_least=1)
    """An image with more pixels is reduced to about this many; 784 pixels are one token, 1,024 with Qwen3-VL; InternVL
    counts tiles instead."""
    min_tiles: int = bounded(1, at_least=1, at_most=64)
    """Of InternVL: an image is cut into at least this many tiles."""
    max_tiles: int = bounded(12, at_least=1, at_most=64)
    """Of InternVL: an image is cut into at most this many tiles of 448 x 448 pixels and 256 tokens; where there are
    several, one more shows the whole image."""
    video_max_pixels: int = bounded(128 * 28 * 28, at_least=1)
    """A frame of a video with more pixels is reduced to about this many; two frames of 784 pixels are one token, with
    Qwen3-VL of 1,024."""
    system_prompt: str = "You are a helpful assistant."
    """The system turn of every prompt that brings none."""
    answer_start: str = one_of("generated", ("generated", "template"))
    """How an answer is cut into tokens: ``generated``, apart from the header's line break, as a model writes it;
    ``template``, as one text with it. They differ only for answers that begin with white space."""
    answer_end: str = one_of("end_of_turn", ("end_of_turn", "line_break"))
    """Where an answer ends, and its reward is read: ``end_of_turn``, at ``<|im_end|>``; ``line_break``, at the line
    break behind it, where Transformers' chat templates end and other programs' reward models are read."""
    critiques: str = one_of("none", ("none", "given"))
    """Whether a critique follows each answer, as critic reward models read it: ``none``, or ``given``, those of the
    records. The reward is read where the critique ends."""
    critique_prompt: str = (
        "Evaluate the answer above to the question before it. Is it correct, clear and complete? Name its strengths "
        "and its weaknesses."
    )
    """The user's turn between an answer and its critique; read where there are `critiques`."""
    reasonings: str = one_of("none", ("none", "given"))
    """Whether shards have reasonings about pairs of answers, which judges learn to write: ``none``, or ``given``, those
    of the records. Prompt and answers are the same tokens in either case."""


@dataclass(kw_only=True)
class NearDuplicateConfig:
    """Which Comparisons are nearly the same: similar prompts, similar responses of equal rank, and similar images."""

    similarity: float | None = bounded(None, above=0, at_most=1)
    """Jaccard similarity of word shingles, above 0 and at most 1, from which prompts and responses count as the same;
    unset: near duplicates stay."""
    image_distance: int = bounded(3, at_least=0, at_most=3, cure=_SLOW)
    """Bits by which two images' 64-bit perceptual hashes may differ, 0 to 3."""


@dataclass(kw_only=True)
class RulesConfig:
    """Which well-formed Comparisons are kept; each rule has its reason name in docs/data.md."""

    max_tokens: int = bounded(8192, at_least=1)
    """Longest prompt plus longest response, in tokens; what is longer is truncated, else refused."""
    truncate: str = one_of("turns", ("nothing", "turns", "responses"))
    """What may be cut to fit `max_tokens`: ``nothing``; ``turns`` (whole oldest turns without images); ``responses``
    (oldest turns first, then the ends of responses). An image is never cut."""
    min_response_chars: int = bounded(0, at_least=0)
    """A Comparison with a response of fewer characters is refused; 0: no bound."""
    max_response_chars: int | None = bounded(None, at_least=1)
    """A Comparison with a response of more characters is refused; unset: no bound."""
    max_prompt_chars: int | None = bounded(None, at_least=1)
    """A Comparison whose prompt has more characters is refused; unset: no bound."""
    languages: list[str] = field(default_factory=list)
    """Languages to keep, as ISO 639-1 codes, guessed from prompt and responses; empty: all."""
    near_duplicates: NearDuplicateConfig = field(default_factory=NearDuplicateConfig)
    """Near duplicates; exact ones always go."""


@dataclass(kw_only=True)
class DecontaminateConfig:
    """Benchmarks whose prompts and images must not be trained on."""

    against: list[SourceConfig] = field(default_factory=list)
    """The benchmarks, as sources; empty: no decontamination."""
    shared_ngrams: int = bounded(1, at_least=1)
    """A prompt that shares so many runs of 13 words with one benchmark prompt is refused."""
    image_distance: int = bounded(3, at_least=0, at_most=3, cure=_SLOW)
    """Bits by which an image's perceptual hash may differ from a benchmark image's and still be the same, 0 to 3."""


@dataclass(kw_only=True)
class SplitConfig:
    """Which Comparisons are held out: a pure function of content, so that no image or prompt is in two splits."""

    heldout_fraction: float = bounded(0.1, at_least=0, at_most=1)
    """Share of the groups (connected by an image, else by a text-only prompt) that are held out, 0 to 1."""
    seed: int = unbounded(0)
    """Another seed holds out another part."""


@dataclass(kw_only=True)
class MixtureConfig:
    """Which sources an epoch shows, and how much of each; see also a source's cap, repeat, weight and seed."""

    only: list[str] = field(default_factory=list)
    """Names of the sources to use; empty: all."""
    text_ratio: float | None = bounded(None, at_least=0)
    """Text-only Comparisons an epoch shows for each one with images; unset: as the sources give them."""


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
    rows_per_unit: int = bounded(1024, at_least=1)
    """Raw records a work unit: what one task reads, and what is done again after a crash. An image is stored once a
    shard, so a set that comes back to its images much later wants larger units."""
    shard_bytes: int = bounded(268_435_456, at_least=1)
    """A work unit starts another shard where one would exceed so many bytes; this bounds a worker's memory."""
    workers: int | None = bounded(None, at_least=1)
    """Work units under way at once; unset: one for each CPU of the cluster."""
    unit_retries: int = bounded(2, at_least=0)
    """How often a failing work unit is tried again before it is put into quarantine as a whole."""
    group_prompts: bool = False
    """Train on the kept Comparisons of one source that ask the same as one: prompt and images are computed once, each
    different answer once, and every record's judgement stays."""
    group_max_responses: int = bounded(16, at_least=2, at_most=64)
    """Different answers that a grouped Comparison holds at most; one record with more stays alone."""
    group_max_tokens: int = bounded(8192, at_least=1)
    """Tokens of prompt and all answers that a grouped Comparison has at most; one record with more stays alone. At most
    `train.token_budget`, which a whole Comparison has to fit."""
    retry_refused: bool = False
    """Try again what was refused because its media could not be had (`MediaConfig.unavailable`)."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """What is read of images."""
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    """Template, tokens and image sizes."""
    rules: RulesConfig = field(default_factory=RulesConfig)
    """What is kept."""
    decontaminate: DecontaminateConfig = field(default_factory=DecontaminateConfig)
    """What is removed because a benchmark asks it."""
    split: SplitConfig = field(default_factory=SplitConfig)
    """What is held out."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """How much of each source an epoch shows."""
