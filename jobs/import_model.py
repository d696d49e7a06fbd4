"""`basereward import-model`: make another program's reward model one that every command here takes.

Runs in the driver; a finished folder is left as it is. How records are read is what `preprocess` says, or what the
folder itself does where `basereward export-model` wrote it.
"""

import tempfile

from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute, held
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import say
from rm_core.model_folder.folder import is_complete
from rm_core.model_folder.hub import hub_name
from rm_core.model_folder.import_model import import_model
from rm_core.model_folder.reading import reading_of
from rm_core.model_folder.remote import draft_of, local_adapter, local_backbone

__all__ = ["run"]


def run(recipe: Recipe) -> None:
    """Write `recipe.import_model.output`.

    Raises:
        UserError: no source, no known head in it, or a backbone that is not read.
    """
    config = recipe.import_model
    if config.source is None:
        raise RecipeError("import_model.source is unset: name the folder of the reward model")
    if is_complete(config.output):
        say(f"{config.output} is finished already: nothing to do")
        return
    with (
        held(absolute(config.output), "import-model"),
        tempfile.TemporaryDirectory(prefix="basereward-import-") as cache,
        draft_of(config.output) as draft,
    ):
        folder = local_backbone(config.source, cache)
        reads = "preprocess.encode says" if reading_of(folder) is None else "the exported model did"
        source = hub_name(config.source) or config.source
        adapter = None if config.adapter is None else local_adapter(config.adapter, cache)
        model = import_model(
            folder, draft, dtype=config.dtype, preprocess=recipe.preprocess, source=source, adapter=adapter
        )
    head = model.head_config
    layers = "a linear head" if head.layers == 1 else f"a head of {head.layers} layers with {head.activation}"
    say(f"{config.output}: {model.family.model_type}, {layers}; reads as {reads}")
