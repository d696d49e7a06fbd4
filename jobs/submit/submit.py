"""`basereward submit COMMAND RECIPE key=value`: the same command as a job of a Ray cluster.

arguments -> Recipe, checked here -> one zip: our packages + recipe.yaml, every default spelt out
      -> cluster.submission.job.Submission -> Jobs API -> id          with --wait: its log, its exit code
"""

import sys
from collections.abc import Mapping
from dataclasses import replace

from cluster.auth import state_folder
from cluster.errors import Refused
from cluster.package import Package, pack
from cluster.submission.job import Submission, new_id
from cluster.submission.job_entry import pins_of
from data_pipeline import storage
from data_pipeline.errors import RecipeError
from jobs.recipe.load import load_recipe, split_arguments
from jobs.recipe.schema import Recipe, to_yaml
from jobs.runtime import PACKAGES
from jobs.runtime.terminal import say
from jobs.submit.checks import check_submitted
from jobs.submit.send_and_follow import COMMAND_KEY, cluster_errors, follow_to_its_end, send

__all__ = ["submit"]

PINNED = ("ray", "torch", "transformers", "deepspeed", "mlflow", "pyarrow", "tokenizers", "peft")
RECIPE_FILE = "recipe.yaml"


def submit(
    arguments: list[str],
    *,
    wait: bool,
    unpinned: bool,
    address: str | None,
    env: list[str],
    package: str | None,
    retries: str | None,
    recipe_commands: Mapping[str, str | None],
) -> int:
    """Submit a command; the exit code is 0, or the job's where `wait`.

    Args:
        arguments: the command, its recipe, and overrides.
        recipe_commands: name of every command that takes a recipe -> its default recipe, None where it has none.

    Raises:
        UserError: something in the arguments, the recipe or the environment.
        RunError: the cluster can't be reached any more.
    """
    command, recipe = _read(arguments, recipe_commands)
    settings = recipe.cluster.submit
    names = tuple(dict.fromkeys([*settings.env, *env]))
    left = settings.retries if retries is None else _whole("--retries", retries)
    if retries is not None and not wait:
        raise RecipeError("--retries needs --wait: somebody has to see the job end; or use basereward jobs retry")
    with cluster_errors():
        packed, package_url = _pack(recipe, package)
        submission = Submission(
            id=new_id(command, [packed.sha256, command, *names]),
            words=("jobs.cli.main", command, RECIPE_FILE, "--address", "auto"),
            package=package_url,
            env=names,
            pins={} if unpinned else pins_of(PINNED),
            cpus=settings.cpus,
            resources=settings.resources,
            stop_wait_s=settings.stop_wait_s,
            metadata={
                COMMAND_KEY: command,
                "recipe": recipe.name,
                "run_dir": recipe.run_dir,
                "code": packed.sha256[:16],
            },
        )
        send(submission, address)
    return follow_to_its_end(submission, address, retries=left) if wait else 0


def _read(arguments: list[str], recipe_commands: Mapping[str, str | None]) -> tuple[str, Recipe]:
    command = arguments[0] if arguments else None
    if command is None or command not in recipe_commands:
        given = repr(command) if arguments else "none"
        raise RecipeError(f"submit needs a command with a recipe, got {given}: one of {', '.join(recipe_commands)}")
    named, overrides = split_arguments(arguments[1:])
    name = named or recipe_commands[command]
    if name is None:
        raise RecipeError(f"submit {command} needs a recipe: for example basereward submit {command} mine.yaml")
    recipe = load_recipe(name, overrides)
    check_submitted(command, recipe)
    return command, recipe


def _pack(recipe: Recipe, target: str | None) -> tuple[Package, str]:
    """The zip, and where the cluster gets it; `target` is what ``--package`` says."""
    in_image = target == "image"
    if target is not None and not in_image and not target.startswith("s3://"):
        raise Refused(f"--package {target}: give an s3:// folder, or `image`")
    # The recipe that is sent has no cluster of its own: the job runs where it was sent to.
    sent = replace(recipe, cluster=replace(recipe.cluster, address=None))
    limit = {} if target is None else {"limit_bytes": sys.maxsize}
    packed = pack(() if in_image else PACKAGES, {RECIPE_FILE: to_yaml(sent)}, state_folder() / "packages", **limit)
    left = ", ".join(f"{count} {kind}" for kind, count in packed.left_out.items())
    what = "the recipe; the code is the image's" if in_image else f"{', '.join(PACKAGES)} and the recipe"
    say(f"package: {packed.num_files} files, {packed.size_bytes / 1e6:.2f} MB: {what}; left out: {left or 'nothing'}")
    if target is None or in_image:
        return packed, str(packed.file)
    url = storage.join(target, packed.file.name)
    if not storage.exists(url):
        storage.upload(str(packed.file), url)
    return packed, url


def _whole(name: str, text: str) -> int:
    if not text.isdigit():
        raise RecipeError(f"{name} {text} must be a whole number, such as {name} 3")
    return int(text)
