"""`basereward export-model`: write a model of ours so that other programs score with it; returns the exit code."""

import os
import tempfile

from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute, exists, is_local, join
from jobs.runtime.terminal import say
from rm_core.interop.export_model import EXPORT_DTYPES, export_model
from rm_core.model_folder.remote import local_model, upload_files

__all__ = ["run"]


def run(model: str, folder: str, *, dtype: str) -> int:
    """Write `folder` from the reward model in `model`.

    Raises:
        UserError: no reward model there, a head that other programs can't have, or something lies at `folder`.
    """
    if dtype not in EXPORT_DTYPES:
        raise RecipeError(f"dtype={dtype}: choose one of {', '.join(EXPORT_DTYPES)}")
    target = absolute(folder)
    if exists(join(target, "config.json")) or (is_local(target) and os.path.exists(target)):
        raise RecipeError(f"{folder} is there already: name a folder that is not, or remove it")
    source = local_model(absolute(model))
    beside = os.path.dirname(target.rstrip("/")) if is_local(target) else None
    if beside is not None:
        os.makedirs(beside, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".basereward-export-", dir=beside) as draft_folder:
        draft = os.path.join(draft_folder, "model")
        done = export_model(source, draft, dtype=dtype)
        if is_local(target):
            os.replace(draft, target)
        else:
            upload_files(draft, target)
    loads = "rm_core.load_reward_model loads it" if done.own_class else "Transformers loads it by itself"
    say(f"{folder}: {done.architecture}, {loads}; its README.md says how other programs do")
    return 0
