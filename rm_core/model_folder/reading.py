"""How a model reads records, kept in its folder, and compared with what it is given to read.

``reading.json``   a `Reading`: of an export that of its training data, of a new backbone that of its recipe
beside it          ``chat_template.jinja`` and ``preprocessor_config.json``, which say the same to Transformers

The weights of a folder from a model hub, and those of exports of early versions, come without ``reading.json``.
"""

import json
from collections.abc import Callable
from typing import Any

import pyarrow.compute as pc

from data_pipeline.config import EncodeConfig
from data_pipeline.dataset.layout import kept_manifests
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.reading import READING_FILE, Reading, check_same_reading
from data_pipeline.encoding.tokenizer import tokenizer_fingerprint
from data_pipeline.errors import BaserewardError, RecipeError
from data_pipeline.storage import exists, join, read_bytes, write_atomic
from rm_core.model.families import family_of
from rm_core.model_folder.processor_files import write_processor_files
from rm_core.model_folder.remote import MARKER, SETTINGS, backbone_settings, read_marker

__all__ = [
    "check_base",
    "check_data",
    "check_family",
    "check_tiles",
    "reading_of",
    "reading_to_use",
    "write_reading",
]


def write_reading(folder: str, reading: Reading, *, images: bool) -> None:
    """Write ``reading.json``, and make the files beside it say the same, into a local folder that is not marked yet.

    Args:
        images: as for `write_processor_files`.
    """
    write_atomic(join(folder, READING_FILE), reading.to_bytes())
    write_processor_files(folder, reading.encode, images=images)


def reading_of(folder: str) -> Reading | None:
    """How the model in `folder`, local or in an object store, reads records; None where nothing says so.

    An export of an early version says it where the data that it was trained on are still there.

    Raises:
        CorruptData: ``reading.json`` or the marker is damaged.
    """
    url = join(folder, READING_FILE)
    if exists(url):
        return Reading.from_bytes(read_bytes(url), url)
    marker = join(folder, MARKER)
    if not exists(marker):
        return None
    lineage = read_marker(read_bytes(marker), marker)["lineage"]
    config = lineage.get("config")
    place = config.get("train.data") if isinstance(config, dict) else None
    return _reading_of_data(str(place), lineage.get("data_fingerprint")) if place else None


def _reading_of_data(place: str, fingerprint: object) -> Reading | None:
    """That of the prepared data with `fingerprint` at `place`; None where other data, or none, lie there."""
    for url in [place] if place.endswith(".json") else kept_manifests(place):
        try:
            manifest = Manifest.read(url)
        except BaserewardError:  # whatever is wrong with old data, the model may be used without them
            continue
        if manifest.fingerprint == fingerprint:
            return manifest.reading
    return None


def check_base(model: str, data: PreparedData) -> None:
    """Refuse to train a model on data in other tokens than its weights know.

    Pixel limits, system prompt and lengths are what training teaches: the exported model has those of its data.

    Args:
        model: the folder to start from, local or in an object store.

    Raises:
        RecipeError: tokenizer or template differ, or pictures were prepared for another family of backbones, or for
            other sizes of it.
        MissingInput: the folder has no ``config.json``, or no ``tokenizer.json``: nothing could be scored.
    """
    names = (f"train.model={model!r}", f"the data in {data.folder!r}")
    backbone = backbone_settings(model, "make a folder with `basereward init-model`")
    check_family(backbone.model_type, data.manifest.reading.encode, names=names, cure=_PREPARE)
    check_tiles(backbone, names[0])
    known = (reading_of(model) or data.manifest.reading).learnt() | {"tokenizer": tokenizer_fingerprint(model)}
    check_same_reading(known, data.manifest.reading.learnt(), names=names, cure="")


_PREPARE = "preprocess the records with {settings}, and name that folder as the data"


def check_family(model_type: str, encode: EncodeConfig, *, names: tuple[str, str], cure: str) -> None:
    """Refuse pictures prepared for another family of backbones than the model's.

    Args:
        model_type: Transformers' name of the backbone.
        encode: how the pictures are prepared.
        names, cure: as for `check_same_reading`.

    Raises:
        RecipeError: they are another family's; or the backbone is of none of ours.
    """
    family = family_of(model_type)
    if family.has_vision and encode.family != family.images.name:
        raise RecipeError(
            f"{names[0]} is a {model_type}, and {names[1]} prepares pictures for {encode.family}: "
            + cure.format(settings=f"preprocess.encode.family={family.images.name}")
        )


def check_tiles(config: Any, name: str) -> None:
    """Refuse a backbone that sees pictures at other sizes than those that are prepared for its family.

    Args:
        config: Transformers' config of the backbone.
        name: what a message calls it.

    Raises:
        RecipeError: it does, or it is one that its family does not compute.
    """
    family = family_of(config.model_type)
    if not family.has_vision or (seen := family.row_format(config).images) == (known := family.images):
        return
    raise RecipeError(
        f"{name} sees tiles of {seen.tile} pixels in patches of {seen.patch}, and pictures for "
        f"preprocess.encode.family={known.name} are cut into tiles of {known.tile} in patches of {known.patch}: "
        "take a model with these"
    )


def check_data(
    model: str, name: str, data: PreparedData, split: str | None = None, *, report: Callable[[str], None]
) -> Reading:
    """Refuse prepared data that a model would read in another way than it was trained; returns its reading.

    Args:
        model: the local folder of a reward model.
        name: what messages call it.
        split: the part of the data that it is given; None: all.
        report: is told what cannot be compared.

    Raises:
        RecipeError: tokens or pixels differ, or a Comparison is longer than the model reads.
    """
    other = data.manifest.reading
    cure = _PREPARE
    called = f"the data in {data.folder!r}"
    reading = reading_to_use(
        model, name, other, other_name=called, cure=cure, ask=Reading.tokens_and_pixels, report=report
    )
    rows = data.rows if split is None else data.rows.filter(pc.equal(data.rows["split"], split))
    answers = rows["response_lengths"].combine_chunks()
    prefixes = rows["prefix_length"].take(pc.list_parent_indices(answers))
    longest = pc.max(pc.add(prefixes, pc.list_flatten(answers))).as_py() or 0
    if longest > reading.max_tokens:
        raise RecipeError(
            f"{name} reads {reading.max_tokens} tokens at most, {called} have a Comparison of {longest}: preprocess "
            f"the records with preprocess.rules.max_tokens={reading.max_tokens}, and name that folder as the data"
        )
    return reading


def reading_to_use(
    model: str,
    name: str,
    other: Reading,
    *,
    other_name: str,
    cure: str,
    report: Callable[[str], None],
    ask: Callable[[Reading], dict[str, object]] = Reading.all,
) -> Reading:
    """The reading of the model, which `other` must not contradict; `other` where the model says nothing.

    Args:
        model: the local folder of a reward model.
        name, other_name, cure: as for `check_same_reading`.
        report: is told what cannot be compared.
        ask: what must be the same.

    Raises:
        RecipeError: they differ, or `other` prepares pictures for another family of backbones.
    """
    own = reading_of(model)
    tokenizer = tokenizer_fingerprint(model)
    known = other if own is None else own
    names = (name, other_name)
    settings: dict[str, Any] = json.loads(read_bytes(join(model, SETTINGS)))
    check_family(settings["model_type"], other.encode, names=names, cure=cure)
    check_same_reading(ask(known) | {"tokenizer": tokenizer}, ask(other), names=names, cure=cure)
    if own is None:
        report(
            f"{name} does not say how it reads records (an early version exported it, and the data of its training "
            f"are not there any more): it reads as {other_name} says, and only the tokenizer could be compared"
        )
    return known
