"""Answers of another model in a folder, local or in an object store, each kept as soon as it is there.

    keep    one file an answer, while a batch is under way
    settle  its answers as one file, and the small ones are deleted: as many files as batches

A kill at any moment leaves answers in small files, in a large one, or in both. Names come of what is in a file, so that
processes that share a folder do not write over each other's.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from data_pipeline.errors import MissingInput
from data_pipeline.storage import (
    escaped,
    from_checked_json,
    join,
    list_files,
    read_bytes,
    read_each,
    to_checked_json,
    write_atomic,
)
from data_pipeline.storage.writing import delete_file

__all__ = ["KeptAnswers"]

Answer = Mapping[str, Any]
"""A JSON object."""


class KeptAnswers:
    """Names of questions -> their answers.

    Raises:
        CorruptData: a file was damaged.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._answers: dict[str, Answer] = {}
        self._small: dict[str, dict[str, Answer]] = {}
        for found in read_each(_read, list_files(join(escaped(folder), "*.json"))):
            self._answers.update(found)

    def __contains__(self, name: str) -> bool:
        return name in self._answers

    def __iter__(self) -> Iterator[Answer]:
        return iter(self._answers.values())

    def get(self, name: str) -> Answer | None:
        """The answer to a question; None: there is none."""
        return self._answers.get(name)

    def keep(self, name: str, answer: Answer) -> None:
        """Write one answer; threads may do so at once."""
        url = self._write({name: answer})
        self._small[url] = {name: answer}
        self._answers[name] = answer

    def settle(self) -> None:
        """Put those that were kept since the last time into one file."""
        small, self._small = self._small, {}
        if len(small) < 2:
            return
        self._write({name: answer for own in small.values() for name, answer in own.items()})
        for url in small:
            delete_file(url)

    def _write(self, answers: Mapping[str, Answer]) -> str:
        data = to_checked_json({"answers": answers})
        url = join(self._folder, f"{hashlib.sha256(data).hexdigest()[:32]}.json")
        write_atomic(url, data)
        return url


def _read(url: str) -> Mapping[str, Answer]:
    try:
        data = read_bytes(url)
    except MissingInput:
        return {}  # a process beside this one has just put it into a larger one
    found: Mapping[str, Answer] = from_checked_json(data, url)["answers"]
    return found
