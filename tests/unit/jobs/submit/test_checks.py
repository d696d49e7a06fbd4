"""No path of a recipe is forgotten where a command is sent to another machine."""

from jobs.recipe.addresses import PLACES
from jobs.recipe.schema import Recipe, to_flat_params
from jobs.submit.checks import PATHS


def test_each_key_of_a_file_or_folder_is_checked_for_some_command() -> None:
    recipe = Recipe(name="one")
    keys = {key for key in to_flat_params(recipe) if key.rpartition(".")[2] in PLACES}
    checked = {"run_dir"}.union(*PATHS.values())
    assert keys == checked, "a list's paths start from data_root, and members of an ensemble have a check of their own"
