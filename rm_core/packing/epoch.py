"""What an epoch of training reads of prepared data: its Comparisons, where they are grouped its groups, and of either,
for a judge, the questions about them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.dataset.grouped import GroupedData
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.tables import REASONED
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.questions import Asking
from data_pipeline.errors import RecipeError, RunError
from rm_core.packing.row_sizes import CostModel, QuestionSizes
from rm_core.packing.sizes import PlanningTable

__all__ = ["AskedData", "epoch_table", "question_sizes", "training_view"]


class AskedData:
    """Comparisons of prepared data as the questions about them.

    Args:
        data: the Comparisons, or their groups.
    """

    def __init__(self, data: PreparedData | GroupedData, asking: Asking) -> None:
        self._data = data
        self._asking = asking

    def encoded(self, index: int) -> EncodedComparison:
        """Row `index` of the data as questions.

        Raises:
            RunError: an answer shows pictures: the tables of prepared data do not tell how large each answer's are.
            CorruptData: as `PreparedData.encoded`.
        """
        found = self._data.encoded(index)
        if any(_shows(ids, self._asking) for ids in found.response_ids):
            raise RunError(
                f"Comparison {found.id!r} shows pictures in its answers, which a generative reward model can score "
                "and not be trained on: leave its source out, or set train.paradigm=scalar"
            )
        return self._asking(found)

    def prefetch(self, indices: npt.NDArray[np.integer[Any]]) -> None:
        """As that of the data."""
        self._data.prefetch(indices)


def training_view(data: PreparedData, asking: Asking | None = None) -> PreparedData | GroupedData | AskedData:
    """What the indices of `epoch_table` point into."""
    view = data if data.groups is None else GroupedData(data)
    return view if asking is None else AskedData(view, asking)


def epoch_table(data: PreparedData, cost_model: CostModel, asking: Asking | None = None) -> PlanningTable:
    """The planning table of an epoch of the training split.

    Raises:
        RecipeError: reasonings are asked for, and the data have none.
        RunError: as for `PlanningTable.from_rows` and `from_groups`.
    """
    questions = None if asking is None else question_sizes(asking)
    if questions is not None and questions.behind is not None and REASONED.name not in data.all_rows.column_names:
        raise RecipeError(
            "train.generative.form=reasoning learns from the records' reasonings, and the data in "
            f"{data.folder!r} were prepared without: preprocess the records with preprocess.encode.reasonings=given"
        )
    if data.groups is not None:
        grouped = GroupedData(data)
        index = grouped.epoch_indices("train")
        return PlanningTable.from_groups(grouped.table, index, cost_model=cost_model, questions=questions)
    index = data.epoch_indices("train")
    places = data.row_indices(index)
    return PlanningTable.from_rows(data.all_rows, index, places=places, cost_model=cost_model, questions=questions)


def question_sizes(asking: Asking) -> QuestionSizes:
    """What the questions make of a Comparison's size."""
    tokens = asking.tokens
    return QuestionSizes(
        prefix=len(tokens.before) - tokens.header,
        own=tokens.num_own,
        end=tokens.end,
        orders=1 if asking.orders == "one" else 2,
        ties=asking.orders == "all",
        behind=1 + len(tokens.closing) if asking.orders == "given" else None,
    )


def _shows(ids: npt.NDArray[np.int32], asking: Asking) -> bool:
    """Whether pictures stand among the tokens of an answer."""
    return bool(np.isin(ids, asking.tokens.pads).any())
