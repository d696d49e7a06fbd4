"""Checks of the section `train`, before a cluster is requested."""

from data_pipeline.bounds import check_bounds
from data_pipeline.errors import RecipeError
from rm_core.model.config import HeadConfig
from rm_core.objectives.config import CriticConfig, ObjectiveConfig, check_objective_config
from rm_core.train_config.config import TRAINING_LOSS, TrainConfig, check_min_workers, check_profile
from rm_core.train_config.engine import check_engine, check_offload
from rm_core.train_config.generative import GenerativeConfig
from rm_core.train_config.weights import GroupConfig, check_trained_groups

__all__ = ["check_train_config"]


def check_train_config(config: TrainConfig) -> None:
    """Refuse what cannot train, before a cluster is asked for: values out of bounds, and values that don't go together.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, "train")
    _check_precision(config)
    check_offload(config.zero)
    check_engine(config.engine, config.zero, num_workers=config.num_workers, min_workers=config.group.min_workers)
    _check_lengths(config)
    check_min_workers(config.group, config.num_workers)
    check_profile(config.profile, num_workers=config.num_workers)
    check_trained_groups(config.weights)
    check_objective_config(config.objective)
    _check_paradigm(config)
    _check_language_loss(config)
    _check_evaluations(config)


def _check_precision(config: TrainConfig) -> None:
    if config.precision == "bf16" and config.zero.stage == 0:
        # Measured: DeepSpeed's stage-0 bf16 optimiser is 13 % off AdamW's gradient norm after one step.
        raise RecipeError(
            "train.precision=bf16 needs float32 master weights, which train.zero.stage=0 lacks: use 1 to 3"
        )


def _check_paradigm(config: TrainConfig) -> None:
    _check_generative(config)
    if config.paradigm != "critic":
        if config.critic != CriticConfig():
            raise RecipeError(
                f"train.critic is read with train.paradigm=critic only, not {config.paradigm}: leave it out"
            )
        return
    if config.head.pooling != "last":
        raise RecipeError(
            f"train.head.pooling={config.head.pooling!r} reads answer and critique alike, and a critic's head reads "
            "where the critique ends: set it to last"
        )
    if config.objective.length_normalisation:
        raise RecipeError(
            "train.objective.length_normalisation=true would count the tokens of critiques, not of answers: set it to "
            "false with train.paradigm=critic"
        )
    if config.evaluate_suites:
        raise RecipeError(
            f"train.evaluate_suites={config.evaluate_suites}: rows of suites have no critiques, and a training writes "
            "none: leave it out, and measure the finished model with evaluate.suites and "
            "evaluate.critiques.source=written"
        )


def _check_language_loss(config: TrainConfig) -> None:
    if config.language_loss == "auto":
        return
    if config.paradigm == "scalar":
        raise RecipeError(
            f"train.language_loss={config.language_loss} is read where a model learns to write or to give verdicts, "
            "and train.paradigm=scalar does neither: leave it out"
        )
    if config.language_loss == "liger" and config.zero.stage == 3:
        raise RecipeError(
            "train.language_loss=liger would hold the gathered weights of the head, which train.zero.stage=3 shards: "
            "set train.language_loss=chunked, or a lower stage"
        )


def _check_generative(config: TrainConfig) -> None:
    """A judge is trained to give verdicts, without a head and without an objective on rewards."""
    if config.paradigm != "generative":
        if config.generative != GenerativeConfig():
            raise RecipeError(
                f"train.generative is read with train.paradigm=generative only, not {config.paradigm}: leave it out"
            )
        return
    unread = {
        "train.head": (config.head, HeadConfig()),
        "train.objective": (config.objective, ObjectiveConfig()),
        "train.weights.head": (config.weights.head, GroupConfig()),
    }
    for key, (said, default) in unread.items():
        if said != default:
            raise RecipeError(
                f"{key} is not read with train.paradigm=generative: a judge has no reward head, and learns verdicts; "
                "leave it out"
            )
    if config.generative.form == "reasoning":
        _check_reasoning(config)


def _check_reasoning(config: TrainConfig) -> None:
    """A judge that reasons reads what records say, and has to write before it scores."""
    if config.generative.orders != GenerativeConfig().orders:
        raise RecipeError(
            f"train.generative.orders={config.generative.orders} is not read with train.generative.form=reasoning, "
            "whose orders are those of the records' reasonings: leave it out"
        )
    if config.evaluate_every:
        raise RecipeError(
            f"train.evaluate_every={config.evaluate_every}: a judge that reasons writes before it scores, and a "
            "training writes nothing: set it to 0, and measure the finished model with `basereward evaluate`"
        )


def _check_lengths(config: TrainConfig) -> None:
    if config.stages and config.max_steps is not None:
        raise RecipeError(f"train.max_steps={config.max_steps} is not read beside train.stages: set stages.N.steps")


def _check_evaluations(config: TrainConfig) -> None:
    """Whether what is to be chosen by evaluations is evaluated; which numbers there are only the data can say."""
    of_training = config.best_metric == TRAINING_LOSS
    if config.early_stopping and of_training:
        raise RecipeError(
            f"train.early_stopping={config.early_stopping} counts evaluations, and train.best_metric={TRAINING_LOSS} "
            "is none of their numbers: set train.best_metric, for example to eval/accuracy"
        )
    if not of_training and not config.evaluate_every:
        raise RecipeError(
            f"train.best_metric={config.best_metric!r} is a number of evaluations, and train.evaluate_every=0 makes "
            f"none: set train.evaluate_every, or train.best_metric={TRAINING_LOSS}"
        )
    if not of_training and config.keep_best_checkpoints and config.checkpoint_every % config.evaluate_every:
        raise RecipeError(
            f"train.keep_best_checkpoints={config.keep_best_checkpoints} by {config.best_metric}: "
            f"train.checkpoint_every={config.checkpoint_every} must be a multiple of train.evaluate_every="
            f"{config.evaluate_every}, so that every checkpoint has been evaluated"
        )
    if config.export_weights == "best" and not config.keep_best_checkpoints:
        raise RecipeError(
            "train.export_weights=best needs a checkpoint that is kept because it is the best: set "
            "train.keep_best_checkpoints=1"
        )
    for key, value in (("evaluate_limit", config.evaluate_limit), ("evaluate_suites", config.evaluate_suites)):
        if value and not config.evaluate_every:
            raise RecipeError(f"train.{key}={value} is not read with train.evaluate_every=0: leave it out")
