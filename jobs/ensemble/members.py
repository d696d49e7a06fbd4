"""The members that a recipe names: found, checked, and pinned to an address that stays."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import absolute, is_local, join
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe
from jobs.registry.registry import ModelRegistry, RegisteredVersion, is_address
from jobs.runtime.terminal import say
from rm_core.ensembles.config import AVERAGE, EnsembleConfig, MemberConfig
from rm_core.model_folder.folder import is_complete, marker_sha256, model_type_of, sees_images, verify_folder
from rm_core.model_folder.paradigm import paradigm_of
from rm_core.model_folder.reading import check_data
from rm_core.model_folder.remote import local_model, upload_files
from rm_core.scoring.choose import check_writing, verdicts_read
from rm_core.serving.served_model import SERVED_FILE, ServedMember

__all__ = ["FoundMember", "find_members", "member_of"]

_SAID = ("recipe", "data_fingerprint", "mlflow_run_id")
"""What of an export's own lineage an ensemble repeats."""


@dataclass(frozen=True, kw_only=True)
class FoundMember:
    """A member whose files are whole."""

    served: ServedMember
    folder: str
    """A local folder with its model."""
    given: str
    """What a scoring process opens: `folder`, or the ``s3://`` address that every host copies for itself."""
    data: PreparedData
    """In its own tokens."""
    share: float


def find_members(recipe: Recipe, data: PreparedData, registry: ModelRegistry) -> list[FoundMember]:
    """All members of `recipe.ensemble`, in its order.

    Args:
        data: of `recipe.ensemble.data`, for members that name none of their own.

    Raises:
        MissingInput: a member's address or files are not there.
        CorruptData: one of its files is damaged.
        RecipeError: it is an ensemble itself, has other tokens than its data, or sees no images and does not say so.
    """
    copies = join(absolute(recipe.ensemble.output), "copies")
    found = []
    for config in recipe.ensemble.members:
        own = data if config.data is None else PreparedData.open(manifest_of(recipe, absolute(config.data)))
        found.append(member_of(config, own, registry, copies))
    _check_paradigms(recipe.ensemble, found)
    return found


def _check_paradigms(config: EnsembleConfig, members: Sequence[FoundMember]) -> None:
    """Refuse to put models of several paradigms together but on one scale, and by their rewards."""
    paradigms = {member.served.name: paradigm_of(member.folder) for member in members}
    if len(set(paradigms.values())) < 2:
        return
    named = ", ".join(f"{name} is {paradigm}" for name, paradigm in paradigms.items())
    if config.rule == AVERAGE:
        raise RecipeError(
            f"ensemble.rule={AVERAGE} makes one model of weights, and the members are of several paradigms ({named}): "
            "combine their rewards, with rule=mean"
        )
    if not config.standardise:
        raise RecipeError(
            f"ensemble.standardise=false adds rewards as they are, and those of several paradigms have no scale in "
            f"common ({named}): leave it true, so that each is measured in standard deviations"
        )


def member_of(config: MemberConfig, data: PreparedData, registry: ModelRegistry, copies: str) -> FoundMember:
    """One member; see `find_members`.

    Args:
        copies: the folder for copies of what MLflow keeps elsewhere, local or in an object store.
    """
    try:
        known = registry.resolve(config.model) if is_address(config.model) else None
        given = absolute(config.model) if known is None else registry.local_folder(known, copies)
        folder = given if is_local(given) else local_model(given)
        _check_is_model(folder)
        check_writing(folder, config.critiques, config.verdicts, name="it", section="ensemble.members")
        lineage = verify_folder(folder)
        if known is not None and not is_local(copies):
            given = _kept(folder, copies, known)
    except (MissingInput, RecipeError, CorruptData) as error:
        raise type(error)(f"member {config.name!r} ({config.model}): {error}") from error
    if not config.text_only and not sees_images(folder):
        raise RecipeError(f"member {config.name!r} ({model_type_of(folder)}) sees no images: give it `text_only: true`")
    reading = check_data(folder, f"member {config.name!r} ({config.model})", data, report=say)
    served = ServedMember(
        name=config.name,
        model=given if known is None else known.address,
        sha256=marker_sha256(folder),
        text_only=config.text_only,
        reading=reading,
        lineage=_lineage(lineage, known),
        critiques=config.critiques if paradigm_of(folder) == "critic" else None,
        verdicts=verdicts_read(folder, config.verdicts),
    )
    return FoundMember(served=served, folder=folder, given=given, data=data, share=config.share)


def _kept(folder: str, copies: str, model: RegisteredVersion) -> str:
    """Where every host reads a model that lies in a folder of this one alone: a copy in the object store."""
    url = join(copies, hashlib.sha256(model.address.encode()).hexdigest()[:32])
    if not is_complete(url):
        upload_files(folder, url)
    return url


def _check_is_model(folder: str) -> None:
    if is_complete(folder):
        return
    if os.path.isfile(os.path.join(folder, SERVED_FILE)):
        raise RecipeError("it is an ensemble of others: name those in its place")
    raise MissingInput(f"{folder} has no model.json: it is no reward model that training exported, or not a whole one")


def _lineage(own: dict[str, Any], known: RegisteredVersion | None) -> dict[str, Any]:
    said = {name: own[name] for name in _SAID if own.get(name)}
    if known is None:
        return said
    registered = {"registered_model": known.name, "version": known.version, "model_id": known.model_id}
    said |= {name: value for name, value in registered.items() if value}
    return {"mlflow_run_id": known.run_id} | said if known.run_id else said
