"""`basereward cluster render KIND --from-terraform outputs.json`: the files of a launcher, written and checked."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

from cluster.errors import Refused
from cluster.render.outputs import Outputs, WorkerGroup, read_outputs
from data_pipeline.errors import RecipeError
from jobs.runtime.terminal import say
from jobs.submit.send_and_follow import cluster_errors

__all__ = ["KINDS", "render"]

KINDS = ("ray-up", "kuberay", "slurm")


def render(
    kind: str,
    *,
    from_terraform: str | None,
    output: str,
    image: str | None,
    ssh_key: str | None,
    token: str | None,
    idle_minutes: int,
    group: str | None,
    nodes: int,
    time: str,
    partition: str | None,
    recipe: str,
    serve: str | None,
) -> int:
    """Write the files of `kind` into the folder `output`.

    Raises:
        UserError: the outputs can't be read, or something asked for can't be.
    """
    if kind not in KINDS:
        raise RecipeError(f"cluster render {kind}: there are {', '.join(KINDS)}")
    if from_terraform is None:
        raise RecipeError("cluster render needs --from-terraform FILE: terraform output -json > outputs.json writes it")
    with cluster_errors():
        outputs = read_outputs(from_terraform)
        tag = image or version("basereward")
        if kind == "ray-up":
            from cluster.render import ray_up

            image_tag = None if image == "none" else tag
            files = ray_up.render(
                outputs, image_tag=image_tag, ssh_key=ssh_key, idle_timeout_minutes=idle_minutes, token=token
            )
        else:
            chosen = _group(outputs, group)
            num_nodes = nodes or chosen.max_nodes
            if kind == "kuberay":
                from cluster.render import kuberay

                files = kuberay.render(
                    outputs, image_tag=tag, group=chosen, nodes=num_nodes, serve=_text(serve, chosen)
                )
            else:
                from cluster.render import slurm

                files = slurm.render(
                    outputs, group=chosen, nodes=num_nodes, time=time, partition=partition, recipe=recipe
                )
    _write(files, Path(output))
    for line in _prices(outputs):
        say(line)
    return 0


def _write(files: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
        say(f"wrote {folder / name}")


def _group(outputs: Outputs, name: str | None) -> WorkerGroup:
    found = [one for one in outputs.worker_groups if name is None or one.name == name]
    if len(found) != 1:
        raise Refused(f"group={name or '...'}: name one of {', '.join(one.name for one in outputs.worker_groups)}")
    return found[0]


def _text(path: str | None, group: WorkerGroup) -> str | None:
    """The text of Ray Serve's config file: of the file itself, or made of a recipe, whose models it serves."""
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Refused(f"serve={path}: {error.strerror}: name a recipe, or a Serve config file") from error
    given = yaml.safe_load(text)
    if isinstance(given, dict) and "applications" in given:
        return text
    from jobs.recipe.load import load_recipe
    from jobs.serve.applications import config_file

    made = config_file(load_recipe(path), gpus=1.0 if group.gpus_per_node else 0.0)
    written: str = yaml.safe_dump(made, sort_keys=False, width=120)
    return written


def _prices(outputs: Outputs) -> list[str]:
    """What it costs an hour, where the sizing variables say."""
    prices = outputs.prices
    if not all(isinstance(prices.get(key), int | float) for key in ("idle_per_hour", "max_per_hour")):
        return []
    return [f"{prices['idle_per_hour']:.2f} $ an hour without workers, at most {prices['max_per_hour']:.2f} $ with all"]
