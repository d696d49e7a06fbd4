"""MMPR: pairs on zero, one or several pictures, and the ``meta.json`` that lists the files of the set.

::

    {"image": "images/7.png", "question": "<image>\\nWhich angle is larger?", "chosen": "...", "rejected": "..."}

    {"geometry": {"root": "images/geometry", "annotation": "annotations/geometry.jsonl", "repeat_time": 2,
                  "length": 1200, "data_augment": false}}

Image paths start from ``root``; an epoch shows the Comparisons of a file ``repeat_time`` times.

Awkward: ``image`` is a path, a list of paths, or absent for text-only records; a question may hold ``<image>`` or
not; an index may write its paths with the folder of the set in front (``MMPR-v1.2/annotations/...`` in
``MMPR-v1.2/meta.json``), which is taken off where no such file is inside; the set is published as ``annotations.zip``
and parts of an ``images.zip``, which are read in place once the parts are joined.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from data_pipeline import storage
from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecipeError, RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import fields, image_turns
from data_pipeline.sources.readers.files import SourceFile

__all__ = ["files_in_meta", "to_comparison"]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One MMPR record as a pair.

    Raises:
        RecordError: missing_field, wrong_field_type, missing_media, broken_image, image_slot_mismatch.
    """
    return image_turns.one_question(
        fields.text(record, "question", row),
        fields.media_of(record.get("image"), "image", row),
        [(fields.text(record, "chosen", row), 0), (fields.text(record, "rejected", row), 1)],
        name=fields.id_of(record, "id", row),
        source=source,
        row=row,
    )


def files_in_meta(url: str) -> list[SourceFile]:
    """The files that a ``meta.json`` lists, in its order; its paths start from its folder and may not leave it.

    ``annotations/a.jsonl`` that is not there is looked for in ``annotations.zip``, and so are folders of images.

    Raises:
        MissingInput: it is no such index, an entry lacks a field, names an annotation file that is not there, or a
            path that leads out of the folder.
        RecipeError: a ``repeat_time`` is no positive number.
    """
    try:
        meta = json.loads(storage.read_bytes(url))
    except (ValueError, RecursionError) as error:
        raise MissingInput(f"{url} is no JSON: {error}") from error
    if not isinstance(meta, Mapping) or not meta:
        raise MissingInput(f"{url} is no index of files: expected {{name: {{root, annotation, ...}}}}")
    return [_file_of(name, entry, url) for name, entry in meta.items()]


def _file_of(name: str, entry: object, url: str) -> SourceFile:
    if not isinstance(entry, Mapping):
        raise MissingInput(f"{url}: {name!r} is {type(entry).__name__}, expected an object with root and annotation")
    folder = storage.parent_of(url)
    for field in ("root", "annotation"):
        if not isinstance(entry.get(field), str):
            raise MissingInput(f"{url}: {name!r} has no {field} that is a path, only {sorted(entry)}")
        try:
            for path in (entry[field], _without_name(folder, entry[field])):
                storage.url_below(path, folder)
        except RecordError as error:
            raise MissingInput(f"{url}: the {field} of {name!r} is not followed: {error.detail}") from error
    annotation, root = (_found(folder, entry[field]) for field in ("annotation", "root"))
    if annotation is None:
        missing = storage.join(folder, entry["annotation"])
        raise MissingInput(f"{url}: {name!r} names {missing!r}, which is not there: fetch it, or correct it")
    # Images that are not there are refused one by one: an index may list more than was fetched.
    root = root or storage.join(folder, _without_name(folder, entry["root"]))
    return SourceFile(annotation, root, _repeat(name, entry.get("repeat_time", 1), url))


def _found(folder: str, path: str) -> str | None:
    """The place of a file or folder that the index of `folder` names; None: nowhere."""
    inside = _without_name(folder, path)
    archive = f"{inside.split('/')[0]}.zip"
    places = [storage.join(folder, path), storage.join(folder, inside), storage.join(folder, archive, inside)]
    return next((place for place in places if storage.exists(place)), None)


def _without_name(folder: str, path: str) -> str:
    """`path` from inside `folder`, where it begins with the folder's own name, as the published indices do."""
    return path.removeprefix(f"{storage.name_of(folder)}/")


def _repeat(name: str, value: Any, url: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise RecipeError(f"{url}: repeat_time of {name!r} is {value!r}, expected a number above 0")
    return float(value)
