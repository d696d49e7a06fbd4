"""Which kind of reward model a folder holds, in a file of its own beside the weights.

``paradigm.json``   {"paradigm": "critic"}, {"paradigm": "generative", "question": "Two answers ..."}, with
                    "form": "reasoning" where it thinks first; a scalar reward model has no such file, as all exports of
                    early versions
"""

import json

from data_pipeline.errors import CorruptData, RecipeError
from data_pipeline.storage import exists, join, read_bytes, write_atomic
from rm_core.model.config import PARADIGMS

__all__ = [
    "PARADIGM_FILE",
    "check_paradigm",
    "check_read_by",
    "paradigm_of",
    "question_of",
    "reasons",
    "write_paradigm",
]

PARADIGM_FILE = "paradigm.json"
_KEY, _QUESTION, _FORM = "paradigm", "question", "form"
_REASONING = "reasoning"


def write_paradigm(folder: str, paradigm: str, question: str = "", form: str = "") -> None:
    """Write it into a local folder that is not marked yet.

    Args:
        question: what a generative one is asked.
        form: what it writes: ``reasoning``, or the verdict alone.
    """
    if paradigm == PARADIGMS[0]:
        return
    said = {_KEY: paradigm} | ({_QUESTION: question} if question else {})
    if paradigm == "generative" and form == _REASONING:
        said[_FORM] = form
    write_atomic(join(folder, PARADIGM_FILE), (json.dumps(said, indent=2) + "\n").encode())


def paradigm_of(folder: str) -> str:
    """One of `PARADIGMS`: of the model in `folder`, local or in an object store; of a backbone ``scalar``.

    Raises:
        CorruptData: the file is damaged, or names a kind that is not known.
    """
    url = join(folder, PARADIGM_FILE)
    if not exists(url):
        return PARADIGMS[0]
    try:
        paradigm = json.loads(read_bytes(url))[_KEY]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"{url!r} is damaged ({type(error).__name__}: {error}): export or copy it again") from error
    if paradigm not in PARADIGMS:
        raise CorruptData(
            f"{url!r} says {paradigm!r}, known are {', '.join(PARADIGMS)}: a newer version of basereward made the "
            "model; install that version"
        )
    return str(paradigm)


def question_of(folder: str) -> str:
    """What the generative reward model in `folder` was trained to be asked.

    Raises:
        CorruptData: the folder does not say it.
    """
    url = join(folder, PARADIGM_FILE)
    question = json.loads(read_bytes(url)).get(_QUESTION) if paradigm_of(folder) == "generative" else None
    if not isinstance(question, str):
        raise CorruptData(f"{url!r} has no question of a generative reward model: export or copy it again")
    return question


def reasons(folder: str) -> bool:
    """Whether the model in `folder` is a generative one that thinks before its verdict.

    Raises:
        CorruptData: as `paradigm_of`.
    """
    return paradigm_of(folder) == "generative" and (
        json.loads(read_bytes(join(folder, PARADIGM_FILE))).get(_FORM) == _REASONING
    )


def check_read_by(paradigm: str, critiques: str, *, data: str) -> None:
    """Refuse to train on data that another kind of model reads.

    Args:
        paradigm: of `train.paradigm`.
        critiques: what the data have of them, as `EncodeConfig.critiques`.
        data: what messages call the data.

    Raises:
        RecipeError: a critic would find no critiques, or another model would take them for a part of the answers.
    """
    if (paradigm == "critic") != (critiques == "given"):
        wanted = "given" if paradigm == "critic" else "none"
        raise RecipeError(
            f"train.paradigm={paradigm}, and {data} were prepared with preprocess.encode.critiques={critiques}: "
            f"preprocess the records with preprocess.encode.critiques={wanted}, or train another paradigm"
        )


def check_paradigm(folder: str, wanted: str) -> None:
    """Refuse to train the reward model in `folder` further as one of another kind.

    Raises:
        RecipeError: it is another one than `wanted`, which `train.paradigm` says.
    """
    if (found := paradigm_of(folder)) != wanted:
        raise RecipeError(
            f"train.paradigm={wanted}, and train.model={folder!r} is a {found} reward model: set "
            f"train.paradigm={found}, or start from a backbone"
        )
