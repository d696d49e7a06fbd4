"""An address of MLflow's registry, or a model folder, as a model that can answer."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint
from data_pipeline.storage import absolute
from jobs.registry.pyfunc_model import member_folders, one_model, read_served
from jobs.registry.registry import ModelRegistry, is_address
from jobs.runtime.terminal import say
from rm_core.model_folder.folder import verify_folder
from rm_core.model_folder.reading import reading_of
from rm_core.model_folder.remote import local_model
from rm_core.scoring.choose import verdicts_read
from rm_core.serving.config import ServeConfig
from rm_core.serving.served_model import SERVED_FILE, ServedMember, ServedModel
from rm_core.serving.served_scorer import ServedScorer
from rm_core.serving.service import LoadedModel, limits_of

__all__ = ["FoundModel", "address_now", "find_model", "load_model", "may_move"]


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """A model that is there, every file of which has its checksum."""

    address: str
    """Means this model for ever, where a registry has it."""
    served: ServedModel
    folders: Mapping[str, str]
    """Member's name -> its folder on this machine."""


def may_move(model: str) -> bool:
    """Whether the address may mean another model later: ``models:/NAME@ALIAS``."""
    return model.startswith("models:/") and "@" in model


def address_now(model: str, tracking_uri: str | None) -> str:
    """What an address that may move means now: one question to the registry, no file is looked at.

    Raises:
        MissingInput: there is none.
        RunError: the store can't be reached.
    """
    return ModelRegistry(tracking_uri).resolve(model).address


def find_model(model: str, tracking_uri: str | None, reading: Mapping[str, Any]) -> FoundModel:
    """Look up and verify a model, and all members of an ensemble.

    Args:
        model: an address or a folder.
        tracking_uri: the store of addresses; None: the one this process is set to.
        reading: how a folder reads records that says nothing about it.

    Raises:
        MissingInput: it is not there, or a member is not.
        CorruptData: a file differs from its checksum.
        RecipeError: two places say different things of how it reads records.
    """
    # None where there is nothing to look up: MLflow would make a store of its own in the folder that it runs in.
    registry = None if tracking_uri is None else ModelRegistry(tracking_uri)
    if is_address(model):
        registry = registry or ModelRegistry(None)
        version = registry.resolve(model)
        address, folder = version.address, registry.local_folder(version)
    else:
        address, folder = model, local_model(absolute(model))
    if os.path.isfile(os.path.join(folder, SERVED_FILE)):
        served = read_served(folder)
    else:
        verify_folder(folder)
        served = one_model("model", folder, _reading(model, folder, reading))
    return FoundModel(address=address, served=served, folders=member_folders(served, folder, registry))


def load_model(found: FoundModel, config: ServeConfig) -> LoadedModel:
    """Load all members, and score once with them: kernels are compiled before the first request."""
    served = replace(found.served, token_budget=config.token_budget, patch_budget=config.patch_budget)
    if served.ensemble is None:
        served = replace(
            served, members=tuple(_writing(one, found.folders[one.name], config) for one in served.members)
        )
    scorer = ServedScorer(
        served, found.folders, None, attention=config.attention, limits=limits_of(config),
        prefix_bytes=config.prefix_cache_bytes,
    )  # fmt: skip
    scorer.warm_up()
    return LoadedModel(address=found.address, scorer=scorer)


def _writing(member: ServedMember, folder: str, config: ServeConfig) -> ServedMember:
    """One model, no scale of which was measured, writes as the server's recipe says."""
    critiques = None if member.critiques is None else config.critiques
    return replace(member, critiques=critiques, verdicts=verdicts_read(folder, config.verdicts))


def _reading(model: str, folder: str, otherwise: Mapping[str, Any]) -> Reading:
    own = reading_of(folder)
    if own is not None:
        return own
    say(f"{model} does not say how it reads records (reading.json): it reads as the recipe's preprocess section says")
    return replace(Reading.from_json(otherwise), tokenizer=tokenizer_fingerprint(folder))
