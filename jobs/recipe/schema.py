"""The recipe: one structured config for all commands, and how it is shown; `load.py` reads it.

Each section belongs to one command and is defined beside the code that reads it; the two last belong to all commands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

from omegaconf import MISSING, OmegaConf

from data_pipeline.bounds import bounded, one_of
from data_pipeline.config import FieldMap, PreprocessConfig
from data_pipeline.storage import absolute
from jobs.recipe.sweep_config import SweepConfig
from rm_core.ensembles.config import EnsembleConfig
from rm_core.evaluation.judge.config import JudgeConfig, ReasonerConfig
from rm_core.evaluation.names import PROBE_NAMES, SUITE_NAMES
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model.config import ImportModelConfig, InitModelConfig
from rm_core.planner.config import PlanConfig
from rm_core.rl.config import RewardConfig, RlConfig, SampleConfig
from rm_core.serving.config import ServeConfig
from rm_core.train_config.config import TrainConfig

__all__ = [
    "SECTIONS",
    "ClusterConfig",
    "Device",
    "EvaluateConfig",
    "FetchConfig",
    "Recipe",
    "ScoreConfig",
    "SubmitConfig",
    "TrackingConfig",
    "to_flat_params",
    "to_yaml",
    "with_absolute_paths",
]


@dataclass(kw_only=True)
class EvaluateConfig:
    """Score one split of prepared data, and published benchmarks, and report how often the better answer wins."""

    data: str = "shards"
    """The folder that preprocessing wrote."""
    model: str = "train/export"
    """The folder of an exported reward model."""
    output: str = "evaluate"
    """The folder for ``report.json``, ``report.html`` and ``scored.parquet``, the rewards of every response."""
    split: str | None = one_of("heldout", ("heldout", "train"))
    """The part of the data to score: heldout or train; null: none, only the `suites`."""
    limit: int | None = bounded(None, at_least=1)
    """Score only the first so many Comparisons of the split; unset: all."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row holds at most."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most."""
    attention: str = one_of("auto", ("auto", "sdpa", "flex", "flash"))
    """Attention kernel: auto (flex on a GPU, else sdpa), sdpa, flex or flash."""
    confidence: float = bounded(0.95, above=0, below=1)
    """Coverage of the intervals, above 0 and below 1."""
    bootstrap_samples: int = bounded(1000, at_least=1)
    """Resamples of the Comparisons behind each interval."""
    seed: int = bounded(0, at_least=0)
    """Seed of the resampling."""
    blank_images: bool = True
    """Also score every Comparison with its images blanked out, to show whether the model looks at them."""
    diagnostics: list[str] = one_of([], PROBE_NAMES)
    """Changes with which the split and the suites are scored again, to find shortcuts that explain a score:
    ``blank_images``, ``shuffled_images``, ``noise_images``, ``markdown_stripped``, ``trailing_spaces``,
    ``polite_sentence``, ``irrelevant_sentence``, ``reversed_answers``; each costs as much as the evaluation."""
    suites: list[str] = one_of([], SUITE_NAMES)
    """Published benchmarks to measure too, each as its authors do; every row of them counts."""
    suite_root: str | None = None
    """The folder that has a folder for each suite, called by its name; local, ``s3://``, or ``hf://``."""
    suite_folders: dict[str, str] = field(default_factory=dict)
    """Suites that lie elsewhere, by name: a folder, an archive, or ``hf://datasets/...`` at a pinned commit."""
    suite_media: dict[str, str] = field(default_factory=dict)
    """Where the paths of a suite's pictures start, by its name; for others: the suite's folder."""
    missing_pictures: str = one_of("fail", ("fail", "without"))
    """What a suite's picture that is not there does: ``fail`` the command, or have its row scored ``without``, which
    every report says."""
    rewards: str | None = None
    """JSON lines (suite, index, rewards) that are measured in place of a model; unset: the model scores."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """A language model behind an address that gives the rewards in place of a reward model."""
    critiques: CritiquesConfig = field(default_factory=CritiquesConfig)
    """Where a critic's critiques come from."""
    verdicts: VerdictsConfig = field(default_factory=VerdictsConfig)
    """What a generative reward model is asked, and how it writes where it reasons."""


@dataclass(kw_only=True)
class ScoreConfig:
    """Add rewards to JSON lines (`basereward score`)."""

    input: str | None = None
    """The JSON lines file to score; needed by ``score``."""
    output: str = "scores.jsonl"
    """The file to write: the input's lines, each with its ``rewards``."""
    model: str = "train/export"
    """The folder of an exported reward model."""
    shape: str = "jsonl"
    """The record shape of its lines: a name of the table in docs/data.md. ``jsonl`` and ``imagereward`` need no labels;
    of other shapes the whole record is read, and its labels are not looked at."""
    retry_refused: bool = False
    """Score again the lines whose pictures were not there; an output that is finished is then made anew."""
    fields: FieldMap = field(default_factory=FieldMap)
    """Which field of a line holds what."""
    media_root: str | None = None
    """The folder that image paths start from and may not leave; unset: the folder of the input."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row holds at most."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most."""
    attention: str = one_of("auto", ("auto", "sdpa", "flex", "flash"))
    """Attention kernel: auto (flex on a GPU, else sdpa), sdpa, flex or flash."""
    critiques: CritiquesConfig = field(default_factory=CritiquesConfig)
    """Where a critic's critiques come from."""
    verdicts: VerdictsConfig = field(default_factory=VerdictsConfig)
    """What a generative reward model is asked, and how it writes where it reasons."""


@dataclass(kw_only=True)
class ReasoningsConfig:
    """Have a language model write why one answer of each pair is better (`basereward write-reasonings`)."""

    output: str = "reasonings"
    """The folder for ``NAME.jsonl`` of each source: its records with reasonings, in shape ``jsonl``."""
    sources: list[str] = field(default_factory=list)
    """Names of the `preprocess.sources` to write about; empty: all."""
    judge: ReasonerConfig = field(default_factory=ReasonerConfig)
    """The language model."""


@dataclass(kw_only=True)
class FetchConfig:
    """Bring the files of `preprocess.sources` from the Hugging Face hub to `data_root` (`basereward fetch`)."""

    address: str | None = None
    """The hub, or a mirror that answers as it does; unset: ``https://huggingface.co``, or what ``HF_ENDPOINT`` says."""
    token_variable: str | None = None
    """The NAME of the environment variable with a token, ``HF_...``, for sets whose terms one has to accept; unset:
    ``HF_TOKEN`` for the hub, and none is sent to another `address`."""
    parallel: int = bounded(4, at_least=1, at_most=64)
    """Files under way at once."""
    patience_s: float = bounded(600.0, at_least=0)
    """Seconds for which a file that brings no more bytes is asked for again."""
    scratch: str | None = None
    """The folder on this machine for files under way, where `data_root` is a bucket; unset: one in the folder for
    temporary files. Beside a local `data_root` they lie in its ``.fetch``."""


@dataclass(kw_only=True)
class TrackingConfig:
    """Where MLflow keeps runs."""

    uri: str = "sqlite:///mlflow.db"
    """The tracking store: ``sqlite:///path`` for one machine, ``http(s)://`` of an MLflow server for a cluster."""
    experiment: str = "basereward"
    """The experiment that runs belong to."""
    artifacts: str | None = None
    """Where a new experiment keeps files; unset: beside an SQLite store, or where the server says."""
    patience_s: float = bounded(600.0, at_least=0)
    """Seconds for which finished work waits for a server that doesn't answer, to hand over what it has."""
    system_metrics_s: float = bounded(10.0, at_least=0)
    """Seconds between two points of each node's processors, memory, disks, network and GPUs; 0: none."""
    ui_port: int | None = bounded(None, at_least=1, at_most=65535)
    """Port of the pages that ``basereward ui`` serves on 127.0.0.1; unset: a free one."""


@dataclass(kw_only=True)
class SubmitConfig:
    """How `basereward submit` places and repeats a job."""

    cpus: float = bounded(0.0, at_least=0)
    """CPUs for the job's own process; 0 without `resources`: it runs on the head and takes none."""
    resources: dict[str, float] = bounded({}, at_least=0)
    """Custom Ray resources for the job's own process, such as ``{driver: 1}``."""
    env: list[str] = field(default_factory=list)
    """Names of variables to send along sealed, as with ``--env``; never values."""
    retries: int = bounded(0, at_least=0)
    """How often ``submit --wait`` submits a job again that was interrupted: its node or the head lost, SIGTERM."""
    stop_wait_s: int = bounded(180, at_least=0)
    """Seconds that a stopped job has before it is killed; a training needs `train.stop_grace_s` and some more."""


class Device(Enum):
    """The choices of ``cluster.device``."""

    auto = "auto"
    gpu = "gpu"
    cpu = "cpu"


@dataclass(kw_only=True)
class ClusterConfig:
    """Which Ray cluster the command runs on."""

    address: str | None = None
    """``host:port`` or ``auto`` of an existing cluster; unset: start one on this machine."""
    num_cpus: int | None = bounded(None, at_least=1)
    """CPUs of a started cluster; unset: all of this machine."""
    device: Device = Device.auto
    """What workers compute on: ``gpu``, ``cpu``, or ``auto``: GPUs where the cluster has some or may add some."""
    dashboard_port: int | None = bounded(None, at_least=1, at_most=65535)
    """Port of a started cluster's dashboard on 127.0.0.1; unset: 8265, or the next free one."""
    submit: SubmitConfig = field(default_factory=SubmitConfig)
    """How `basereward submit` places and repeats a job."""


@dataclass(kw_only=True)
class Recipe:
    """All settings of all commands; folders default to places below `run_dir`."""

    name: str = MISSING
    """The name of the run; unset: the file's name without its ending."""
    run_dir: str = "runs/${name}"
    """The folder for everything the commands write."""
    data_root: str = "."
    """The folder that relative source paths start from."""
    init_model: InitModelConfig = field(default_factory=lambda: InitModelConfig(output="${run_dir}/model"))
    """Section of ``init-model``."""
    import_model: ImportModelConfig = field(default_factory=lambda: ImportModelConfig(output="${run_dir}/imported"))
    """Section of ``import-model``."""
    fetch: FetchConfig = field(default_factory=FetchConfig)
    """Section of ``fetch``."""
    reasonings: ReasoningsConfig = field(default_factory=lambda: ReasoningsConfig(output="${run_dir}/reasonings"))
    """Section of ``write-reasonings``."""
    preprocess: PreprocessConfig = field(
        default_factory=lambda: PreprocessConfig(
            data_root="${data_root}", output="${run_dir}/shards", tokenizer="${init_model.output}"
        )
    )
    """Section of ``preprocess``."""
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            model="${init_model.output}",
            data="${preprocess.output}",
            output="${run_dir}/train",
            cache_dir="${run_dir}/cache",
        )
    )
    """Section of ``train``."""
    plan: PlanConfig = field(default_factory=PlanConfig)
    """Section of ``plan``."""
    evaluate: EvaluateConfig = field(
        default_factory=lambda: EvaluateConfig(
            data="${preprocess.output}", model="${train.output}/export", output="${run_dir}/evaluate"
        )
    )
    """Section of ``evaluate``."""
    score: ScoreConfig = field(
        default_factory=lambda: ScoreConfig(model="${train.output}/export", output="${run_dir}/scores.jsonl")
    )
    """Section of ``score``."""
    serve: ServeConfig = field(default_factory=lambda: ServeConfig(model="${train.output}/export"))
    """Section of ``serve``."""
    rl: RlConfig = field(
        default_factory=lambda: RlConfig(
            policy="${init_model.output}",
            output="${run_dir}/rl",
            reward=RewardConfig(model="${train.output}/export"),
            sample=SampleConfig(output="${run_dir}/samples"),
        )
    )
    """Section of ``rl``."""
    sweep: SweepConfig = field(default_factory=lambda: SweepConfig(output="${run_dir}/sweep"))
    """Section of ``sweep``."""
    ensemble: EnsembleConfig = field(
        default_factory=lambda: EnsembleConfig(
            data="${preprocess.output}", register_as="${name}", output="${run_dir}/ensemble"
        )
    )
    """Section of ``ensemble`` and ``promote``."""
    tracking: TrackingConfig = field(default_factory=lambda: TrackingConfig(uri="sqlite:///${run_dir}/mlflow.db"))
    """Where MLflow keeps runs."""
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    """Which Ray cluster the command runs on."""


SECTIONS = (
    "init_model", "import_model", "fetch", "reasonings", "preprocess", "train", "plan", "evaluate", "score", "serve",
    "rl", "sweep", "ensemble", "tracking", "cluster",
)  # fmt: skip


def to_yaml(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every default spelt out; `load_recipe` reads it back to the same value."""
    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def to_flat_params(recipe: Recipe, sections: Sequence[str] = ()) -> dict[str, str]:
    """``{"train.zero.stage": "2", ...}`` for MLflow.

    Args:
        recipe: a resolved recipe.
        sections: top-level keys to keep; none: all.
    """
    flat: dict[str, str] = {}
    _flatten(OmegaConf.to_container(OmegaConf.structured(recipe), enum_to_str=True), "", flat)
    return {key: value for key, value in flat.items() if not sections or key.split(".")[0] in sections}


def _flatten(node: object, prefix: str, flat: dict[str, str]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            _flatten(value, f"{prefix}.{key}" if prefix else str(key), flat)
    elif isinstance(node, list) and node and isinstance(node[0], dict):
        for index, value in enumerate(node):
            _flatten(value, f"{prefix}.{index}", flat)
    else:
        flat[prefix] = "" if node is None else str(node)


Config = TypeVar("Config")


def with_absolute_paths(config: Config, *keys: str) -> Config:
    """A copy of a config with the local paths in `keys` made absolute, for processes that run in other folders.

    ``s3://`` addresses stay.
    """
    changes: dict[str, Any] = {key: absolute(getattr(config, key)) for key in keys}
    return replace(config, **changes)  # type: ignore[type-var]  # any dataclass
