"""`basereward init-model`: write a random-weight backbone folder with a tokenizer and a processor.

Without `init_model.tokenizer`, a byte-level BPE is trained on the texts of the recipe's sources, read by the same
adapters as preprocessing. Runs in the driver; a finished folder is left as it is.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from data_pipeline.encoding.judge_format import CLOSING, reasoned
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import MissingInput
from data_pipeline.records.comparison import Comparison, text_of
from data_pipeline.sources.inputs import comparisons_of
from data_pipeline.storage import absolute, held
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import say
from rm_core.model_folder.folder import is_complete
from rm_core.model_folder.initialise import initialise_model
from rm_core.model_folder.remote import draft_of

__all__ = ["run"]


def run(recipe: Recipe) -> None:
    """Write `recipe.init_model.output`.

    Raises:
        UserError: unknown shape, missing tokenizer, or no source to train one on.
    """
    config = recipe.init_model
    if is_complete(config.output):
        say(f"{config.output} is finished already: nothing to do")
        return

    def train(folder: str) -> None:
        train_tokenizer(_texts(recipe), config.vocab_size, folder, family=recipe.preprocess.encode.family)

    with held(absolute(config.output), "init-model"), draft_of(config.output) as folder:
        draft = replace(config, output=folder)
        num_parameters = initialise_model(draft, recipe.preprocess, train_tokenizer=train)
    say(f"{config.output}: {config.shape}, {num_parameters:,} parameters, random weights of seed {config.seed}")


def _texts(recipe: Recipe) -> Iterator[str]:
    """Prompts, responses and, where they are read, critiques and reasonings of each source's first records, an equal
    share each.
    """
    sources = recipe.preprocess.sources
    if not sources:
        raise MissingInput(
            "preprocess.sources is empty: name a data set to train a tokenizer on, or init_model.tokenizer"
        )
    share = max(1, recipe.init_model.max_training_records // len(sources))
    for source in sources:
        for comparison in islice(comparisons_of(source, recipe.preprocess.data_root), share):
            yield from _texts_of(comparison, critiques=recipe.preprocess.encode.critiques == "given")
            if recipe.preprocess.encode.reasonings == "given":
                yield from (f"{reasoned(one.text)}1{CLOSING}" for one in comparison.reasonings)


def _texts_of(comparison: Comparison, *, critiques: bool) -> Iterator[str]:
    for turn in comparison.prompt:
        yield f"{turn.role}\n{text_of(turn.parts)}"
    for response in comparison.responses:
        yield response.text
        if critiques and response.critique is not None:
            yield response.critique
