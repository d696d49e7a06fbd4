"""Reward models for RL: loaded on a worker's device from a folder or an address of MLflow, or asked over HTTP."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from data_pipeline.errors import RecipeError
from jobs.serve.client import RewardClient, RowRefused
from jobs.serve.models import find_model
from rm_core.rl.config import RewardConfig
from rm_core.rl.scoring import LoadedScores, RowScorer, ServerScores
from rm_core.serving.served_scorer import ServedScorer

__all__ = ["make_scorer"]


def make_scorer(model: str, config: RewardConfig, store: str | None, reading: Mapping[str, Any]) -> RowScorer:
    """What asks the reward model `model`; that of `config` at its server, where it names one.

    Args:
        store: MLflow's, for addresses.
        reading: how a folder reads records that says nothing about it.

    Raises:
        UserError: it is not there, damaged, or can't be scored with.
    """
    if config.url is not None and model == config.model:
        return ServerScores(RewardClient(config.url, patience_s=config.patience_s), RowRefused)
    found = find_model(model, store, reading)
    if config.pessimism and model == config.model and found.served.ensemble is None:
        raise RecipeError(
            f"rl.reward.pessimism={config.pessimism:g} takes the spread of an ensemble's members off, and "
            f"rl.reward.model={model!r} is one model: leave it out, or name an ensemble"
        )
    served = replace(found.served, token_budget=config.token_budget, patch_budget=config.patch_budget)
    attention = "auto" if torch.cuda.is_available() else "sdpa"
    return LoadedScores(ServedScorer(served, found.folders, None, attention=attention))
