"""The folder beside the output of `score` in which finished parts wait, so that a killed run goes on where it was.

OUTPUT.parts/job.json           whose parts they are: a hash of input, model and settings
OUTPUT.parts/000000000128.part  a header (what it holds), then the lines of one part; complete or absent
OUTPUT                          all parts, put together once the last one is done
OUTPUT.done.json                its hash and its counts; written last, then the folder is deleted
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from data_pipeline import storage
from data_pipeline.errors import CorruptData, RunError
from data_pipeline.sources.accounting import UnreadFields
from data_pipeline.sources.readers.files import RowRange
from data_pipeline.storage.writing import delete_file

__all__ = ["Part", "PartsFolder", "Tally"]

_JOB = "job.json"


@dataclass(kw_only=True)
class Tally:
    """What became of lines.

    Attributes:
        not_scored: lines without rewards, by reason.
        unread: records that have a field that was not read, by the field.
        repeated: tries without an answer, by kind, where somebody is asked.
    """

    lines: int = 0
    not_scored: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Sequence["Tally"]) -> "Tally":
        """The sum."""
        reasons: Counter[str] = Counter()
        repeated: Counter[str] = Counter()
        for part in parts:
            reasons.update(part.not_scored)
            repeated.update(part.repeated)
        return cls(
            lines=sum(part.lines for part in parts),
            not_scored=dict(sorted(reasons.items())),
            unread=UnreadFields.merged(part.unread for part in parts),
            repeated=dict(sorted(repeated.items())),
        )


@dataclass
class Part:
    """Lines of one part as they come, in order."""

    rows: RowRange
    texts: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, text: str, error: str | None) -> None:
        """One more line, and why it has no rewards or None."""
        self.texts.append(text)
        if error is not None:
            self.reasons[error.partition(":")[0]] += 1


class PartsFolder:
    """The parts of one scoring.

    Args:
        output: where the lines go in the end.
        job: everything that decides them; parts of another job are deleted.
        again: reasons of lines without rewards for which the work is done again.
    """

    def __init__(self, output: str, job: Mapping[str, Any], *, again: Collection[str] = ()) -> None:
        self._output = output
        self._folder = f"{output}.parts"
        self._marker = f"{output}.done.json"
        self._job = hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
        self._again = frozenset(again)

    def finished(self, at_least: int = 0) -> Tally | None:
        """The counts of the output, if it is there, is that of this job, and has so many lines; else None."""
        tally = self._proven()
        if tally is None or tally.lines < at_least:
            return None
        self._delete()
        return tally

    def _proven(self) -> Tally | None:
        """The counts of the output of this job, compared with its hash."""
        if not storage.exists(self._marker) or not storage.exists(self._output):
            return None
        try:
            marker = storage.from_checked_json(storage.read_bytes(self._marker), self._marker)
        except CorruptData:
            return None  # it proves nothing, so the work is done again
        if marker["job"] != self._job or marker["bytes"] != storage.size_of(self._output):
            return None
        if storage.sha256_of(self._output) != marker["sha256"]:
            return None
        tally = Tally(**marker["tally"])
        return tally if self._again.isdisjoint(tally.not_scored) else None

    def open(self) -> set[int]:
        """Make the folder this job's; the first row of each part that is done."""
        url = storage.join(self._folder, _JOB)
        if storage.exists(url) and storage.read_bytes(url).decode() != self._job:
            self._delete()
        if not storage.exists(url):
            storage.write_atomic(url, self._job.encode())
        parts = storage.list_files(storage.join(storage.escaped(self._folder), "*.part"))
        kept = [part for part in parts if not self._again or self._again.isdisjoint(_checked(part)[0].not_scored)]
        return {int(storage.name_of(part).removesuffix(".part")) for part in kept}

    def write(self, part: Part, unread: Mapping[str, int], repeated: Mapping[str, int] = MappingProxyType({})) -> None:
        """Keep a part of which every line is there."""
        if len(part.texts) != part.rows.count:
            raise RunError(f"rows {part.rows.start} on: {len(part.texts)} lines for {part.rows.count} rows")
        body = "".join(part.texts).encode()
        tally = Tally(
            lines=len(part.texts), not_scored=dict(part.reasons), unread=dict(unread), repeated=dict(repeated)
        )
        header = {**asdict(tally), "sha256": hashlib.sha256(body).hexdigest()}
        storage.write_atomic(self._url(part.rows), storage.to_checked_json(header, indent=None) + body)

    def unpack(self) -> set[int]:
        """Make parts of one line each of an output that has fewer lines than the job has now; the rows of these."""
        tally = self._proven()
        if tally is None:
            return set()
        texts = storage.read_bytes(self._output).decode().split("\n")[:-1]
        for place, text in enumerate(texts):
            part = Part(RowRange(place, 1))
            part.add(f"{text}\n", json.loads(text).get("error"))
            self.write(part, tally.unread if place == 0 else {}, tally.repeated if place == 0 else {})
        return set(range(len(texts)))

    def publish(self, parts: Sequence[RowRange]) -> Tally:
        """Put all parts together as the output, whole or not at all, and give their counts.

        Raises:
            CorruptData: a part is not as it was written; it is deleted, so the next run scores its lines.
        """
        local = storage.is_local(self._output)
        digest, tallies, num_bytes = hashlib.sha256(), [], 0
        with tempfile.TemporaryDirectory(dir=self._folder if local else None) as folder:
            joined = os.path.join(folder, "joined")
            with open(joined, "wb") as file:
                for tally, body in map(self._read, parts):
                    tallies.append(tally)
                    digest.update(body)
                    num_bytes += file.write(body)
                file.flush()
            storage.upload(joined, self._output)
        tally = Tally.of(tallies)
        marker = {"job": self._job, "bytes": num_bytes, "sha256": digest.hexdigest(), "tally": asdict(tally)}
        storage.write_atomic(self._marker, storage.to_checked_json(marker))
        self._delete()
        return tally

    def _delete(self) -> None:
        """Delete the parts, once the output is proven, or where they are those of another job."""
        if storage.list_files(self._folder):
            storage.delete_folder(self._folder, first=_JOB)

    def _read(self, rows: RowRange) -> tuple[Tally, bytes]:
        url = self._url(rows)
        tally, body = _checked(url)
        if tally.lines != rows.count:
            delete_file(url)
            raise CorruptData(
                f"{url!r} holds {tally.lines} lines and not the {rows.count} that the input has there; it is deleted "
                "now: the same command scores its lines again"
            )
        return tally, body

    def _url(self, rows: RowRange) -> str:
        return storage.join(self._folder, f"{rows.start:012d}.part")


def _checked(url: str) -> tuple[Tally, bytes]:
    """The counts and the lines of a part; one that its own header disproves is deleted."""
    header, _, body = storage.read_bytes(url).partition(b"\n")
    try:
        said = storage.from_checked_json(header, url)
        if hashlib.sha256(body).hexdigest() != said.pop("sha256"):
            raise CorruptData(f"{url!r} is damaged: its lines differ from their sha256")
    except CorruptData as error:
        delete_file(url)
        raise CorruptData(f"{error}; it is deleted now: the same command scores its lines again") from error
    return Tally(**said), body
