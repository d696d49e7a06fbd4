"""Which steps of ``docs/cluster.md`` are missing: in the account, on this machine, and of a recipe that is to run."""

import os
from collections.abc import Iterator

from cluster.account import Missing, missing_steps
from cluster.errors import Refused
from cluster.render.outputs import read_outputs
from data_pipeline import storage
from data_pipeline.errors import BaserewardError
from data_pipeline.filtering.mixture import used_sources
from data_pipeline.sources.inputs import files_of
from jobs.recipe.schema import Recipe
from jobs.recipe.suites import open_named

__all__ = ["missing_of_cluster", "missing_of_recipe"]


def missing_of_cluster(outputs: str, *, image: str | None, address: str | None) -> list[Missing]:
    """What is missing up to a head that answers.

    Args:
        outputs: the file that ``terraform output -json`` wrote.
        image: tag of the training image; None: the machine image has Ray itself.

    Raises:
        Refused: AWS can't be asked.
    """
    try:
        read = read_outputs(outputs)
    except Refused as error:
        cure = f"terraform -chdir=infra/terraform apply ...; terraform -chdir=infra/terraform output -json > {outputs}"
        return [Missing("infrastructure", str(error), cure)]
    return missing_steps(read, image_tag=image, address=address)


def missing_of_recipe(recipe: Recipe) -> list[Missing]:
    """Data, backbone, benchmarks and variables that its commands will ask for."""
    return [one for found in (_data(recipe), _model(recipe), _suites(recipe), _variables(recipe)) for one in found]


def _data(recipe: Recipe) -> Iterator[Missing]:
    config = recipe.preprocess
    if storage.exists(storage.join(config.output, "manifest.json")):
        return  # prepared already: raw files may be gone
    for source in used_sources(config):
        try:
            files_of(source, config.data_root)
        except BaserewardError as error:
            bring = f"aws s3 sync my-set/ {config.data_root}/..." if source.hub is None else "basereward submit fetch"
            yield Missing("data", str(error), bring)


def _model(recipe: Recipe) -> Iterator[Missing]:
    asked = {
        "train.model": (recipe.train.model, "config.json"),
        "preprocess.tokenizer": (recipe.preprocess.tokenizer, "tokenizer.json"),
    }
    for key, (folder, name) in asked.items():
        registered = folder.startswith(("models:/", "runs:/"))  # with MLflow, which the head reaches
        if not registered and not storage.exists(storage.join(folder, name)):
            cure = f"aws s3 sync THE_FOLDER/ {folder}/, or basereward submit init-model for a toy"
            yield Missing("the model", f"{key}={folder} has no {name}", cure)


def _suites(recipe: Recipe) -> Iterator[Missing]:
    for name in recipe.evaluate.suites:
        try:
            open_named(recipe.evaluate, [name], "evaluate.suites")
        except BaserewardError as error:
            cure = f"aws s3 sync my-benchmarks/ {recipe.evaluate.suite_root}/, as docs/evaluation.md says"
            yield Missing("benchmarks", str(error), cure)


def _variables(recipe: Recipe) -> Iterator[Missing]:
    for name in recipe.cluster.submit.env:
        if not os.environ.get(name):
            cure = f"export {name}=...; MLflow's first login is in the secret mlflow.admin_secret_arn of the outputs"
            yield Missing("variables", f"{name} is not set, and cluster.submit.env sends it", cure)
