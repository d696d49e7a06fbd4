"""Models of every paradigm behind HTTP, and how tests ask them."""

from contextlib import AbstractContextManager
from typing import Any

from paradigm_models import ParadigmModels, serving
from serve_lab import Lab, answering


def lab_of(models: ParadigmModels, place: str, **settings: Any) -> AbstractContextManager[Lab]:
    config = serving(**settings)
    return answering(lambda: models.load(place, config), config)


def body(models: ParadigmModels, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"images": row["images"] and [models.base.data_url(name[0]) for name in row["images"]]}


def refused(lab: Lab, path: str, given: dict[str, Any]) -> tuple[int, str]:
    answer = lab.post(path, given)
    return answer.status_code, answer.json()["error"]["type"]
