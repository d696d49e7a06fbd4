"""Rows of a suite to score, as lines: the same reading and checks as training data, and what is kept of each.

    row -> its pictures -> Line(fields, encoded or error) -> one line of JSON with ``rewards``, or with ``error``

A kept line: ``{"suite", "index", "id", "pictures", "hashes", "missing_pictures", "rewards"}``. With a probe the row is
changed before it is scored (`rm_core.evaluation.diagnostics`), and the line says which responses changed.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice

from data_pipeline.config import MediaConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length, check_tokens
from data_pipeline.errors import RecordError
from data_pipeline.records.checks import check
from data_pipeline.sources.readers.files import RowRange
from rm_core.evaluation.diagnostics.pictures import BLOCK, Donor, changed_pictures, donors
from rm_core.evaluation.diagnostics.rows import changed_responses, check_budget
from rm_core.evaluation.diagnostics.texts import changed_text
from rm_core.evaluation.names import PICTURE_PROBES, TEXT_PROBES
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.rows import ReadRow, SuiteRows
from rm_core.scoring.lines import Line

__all__ = ["SuiteReader"]


class SuiteReader:
    """Reads rows of a suite as lines to score.

    Args:
        max_tokens: longest prompt plus longest response; a longer row is not scored.
        without_pictures: score a row without those of its pictures that are not there, and say so.
        probe: the change that is made to every row; None: none.
        token_budget: a row that the change makes longer is left out.
    """

    def __init__(
        self,
        data: SuiteData,
        encoder: Encoder,
        media: MediaConfig,
        max_tokens: int,
        *,
        without_pictures: bool,
        probe: str | None = None,
        token_budget: int = sys.maxsize,
    ) -> None:
        self._data = data
        self._encoder = encoder
        self._rows = SuiteRows(data, media, without_pictures=without_pictures)
        self._max_tokens = max_tokens
        self._probe = probe
        self._token_budget = token_budget

    def lines(self, part: RowRange) -> Iterator[Line]:
        """One for each of the rows [start, start + count).

        Raises:
            MissingInput: a picture is not there, or none; the message says what may be done.
        """
        rows = self._rows.read(part.start, part.count)
        if self._probe != "shuffled_images":
            yield from (self._line(row, None) for row in rows)
            return
        assert part.start % BLOCK == 0, "parts begin where blocks do"
        while block := list(islice(rows, BLOCK)):
            yield from self._shuffled(block)

    def take_unread(self) -> dict[str, int]:
        """Nothing: a suite's fields are known."""
        return {}

    def _shuffled(self, block: Sequence[ReadRow]) -> Iterator[Line]:
        """Rows that are shown each other's pictures."""
        keys = [frozenset(image.sha256 for image in row.images) for row in block]
        others = donors([row.comparison.id for row in block], keys)
        for row, other in zip(block, others, strict=True):
            yield self._line(row, None if other is None else [(one.sha256, one.data) for one in block[other].images])

    def _line(self, row: ReadRow, donor: Donor | None) -> Line:
        fields = row.fields(self._data.suite.name)
        try:
            encoded, changed = self._encoded(row, donor)
        except RecordError as error:
            return Line(json.dumps(fields), None, str(error))
        return Line(json.dumps(fields | ({"changed": changed} if changed else {})), encoded, None)

    def _encoded(self, row: ReadRow, donor: Donor | None) -> tuple[EncodedComparison, tuple[bool, ...]]:
        comparison = changed_text(row.comparison, self._probe) if self._probe in TEXT_PROBES else row.comparison
        check(comparison, labelled=False)
        encoded = self._encoder.encode(comparison, row.media)
        check_tokens(comparison, encoded, labelled=False)
        check_length(encoded, self._max_tokens)
        if self._probe is None:
            return encoded, ()
        check_budget(encoded, self._token_budget)
        if self._probe in PICTURE_PROBES:
            return changed_pictures(encoded, self._probe, donor), ()
        return encoded, changed_responses(row.comparison, comparison, self._probe)
