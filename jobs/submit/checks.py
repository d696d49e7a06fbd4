"""What a command would refuse on the cluster, refused here: its section of the recipe, and every path that it reads.

A recipe that is sent runs in a folder of a node, with this machine's files out of reach.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from data_pipeline.errors import RecipeError
from data_pipeline.transform.planning import check_config
from jobs.recipe.addresses import check_address
from jobs.recipe.judge import check_consistency, check_judge, check_reasoner
from jobs.recipe.load import required
from jobs.recipe.schema import Recipe, to_flat_params
from jobs.recipe.sweep_config import check_sweep_config
from rm_core.ensembles.config import check_ensemble_config
from rm_core.rl.settings import check_rl_config
from rm_core.train_config.check import check_train_config

__all__ = ["PATHS", "check_submitted"]

_TRACKED = frozenset({"train", "evaluate", "rl", "sweep", "ensemble", "promote", "runs", "demo"})
"""Commands that ask MLflow."""
_DATA = ("data_root", "preprocess.output", "preprocess.tokenizer", "preprocess.data_root")
_TRAIN = ("train.model", "train.data", "train.output", "train.cache_dir")
_EVALUATE = ("evaluate.model", "evaluate.data", "evaluate.output", "evaluate.suite_root", "evaluate.rewards")
_OF_SUITES = ("evaluate.suite_folders.", "evaluate.suite_media.")
_SCORE = ("score.input", "score.output", "score.model", "score.media_root")
_ENSEMBLE = ("ensemble.data", "ensemble.output")
PATHS: Mapping[str, tuple[str, ...]] = {
    "init-model": ("data_root", "init_model.output", "init_model.tokenizer"),
    "import-model": ("import_model.source", "import_model.adapter", "import_model.output"),
    "fetch": ("data_root", "preprocess.data_root", "fetch.scratch"),
    "write-reasonings": ("data_root", "preprocess.data_root", "reasonings.output"),
    "preprocess": _DATA,
    "plan": ("train.model", "train.data"),
    "train": _TRAIN,
    "evaluate": _EVALUATE,
    "score": _SCORE,
    "serve": ("serve.model",),
    "rl": ("rl.policy", "rl.output", "rl.reward.model", "data_root", "rl.sample.output", "rl.sample.policy"),
    "sweep": ("sweep.output", "data_root", "init_model.tokenizer"),
    "ensemble": _ENSEMBLE,
    "promote": _ENSEMBLE,
    "demo": (*_DATA, "init_model.output", "init_model.tokenizer", *_TRAIN, *_EVALUATE, "score.output", "score.model"),
}
"""Keys of the folders and files that a command reads or writes, beside ``run_dir``."""
_REGISTERED = ("models:/", "runs:/")


def check_submitted(command: str, recipe: Recipe) -> None:
    """Refuse what the command would refuse, and what could only work here.

    Raises:
        RecipeError: names the key, its value and the cure.
        MissingInput: an unknown record shape.
    """
    _check_paths(command, recipe)
    if command in _TRACKED:
        check_address(recipe.tracking.uri)
    if command == "score":
        required(recipe.score.input, "score.input", "s3://bucket/mine.jsonl")
    checks: Mapping[str, Callable[[], None]] = {
        "preprocess": lambda: check_config(recipe.preprocess),
        "train": lambda: check_train_config(recipe.train),
        "rl": lambda: _check_rl(recipe),
        "sweep": lambda: check_sweep_config(recipe.sweep),
        "evaluate": lambda: check_judge(recipe.evaluate),
        "write-reasonings": lambda: check_reasoner(recipe.reasonings.judge),
        "ensemble": lambda: check_ensemble_config(recipe.ensemble),
    }
    for name, check in checks.items():
        if name == command or (command == "demo" and name in ("preprocess", "train")):
            check()
    section = recipe.rl if command == "rl" else recipe.train
    wait_s, grace_s = recipe.cluster.submit.stop_wait_s, section.stop_grace_s
    if command in ("train", "rl") and wait_s <= grace_s:
        raise RecipeError(
            f"cluster.submit.stop_wait_s={wait_s} would kill a stopped training within its {command}.stop_grace_s="
            f"{grace_s:g}: say cluster.submit.stop_wait_s={grace_s + 60:.0f}"
        )


def _check_rl(recipe: Recipe) -> None:
    check_rl_config(recipe.rl)
    check_consistency(recipe.rl.reward.consistency)


def _check_paths(command: str, recipe: Recipe) -> None:
    values = to_flat_params(recipe)
    paths = {key: values[key] for key in ("run_dir", *PATHS.get(command, ()))}
    if command in ("evaluate", "demo"):
        paths |= {key: path for key, path in values.items() if key.startswith(_OF_SUITES)}
    if command in ("ensemble", "promote"):
        for index, member in enumerate(recipe.ensemble.members):
            paths[f"ensemble.members.{index}.model"] = member.model
            paths[f"ensemble.members.{index}.data"] = member.data or ""
    for key, path in paths.items():
        if path and "://" not in path and not path.startswith(_REGISTERED) and not Path(path).is_absolute():
            raise RecipeError(
                f"{key}={path} starts from a folder of this machine: on the cluster give s3://..., or an absolute "
                f"path that all its nodes share, such as {key}=s3://bucket/{Path(path).name or 'data'}"
            )
