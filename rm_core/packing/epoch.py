"""What an epoch of training reads of prepared data: its Comparisons, or where they are grouped, its groups."""

from data_pipeline.dataset.grouped import GroupedData
from data_pipeline.dataset.prepared import PreparedData
from rm_core.packing.row_sizes import CostModel
from rm_core.packing.sizes import PlanningTable

__all__ = ["epoch_table", "training_view"]


def training_view(data: PreparedData) -> PreparedData | GroupedData:
    """What the indices of `epoch_table` point into."""
    return data if data.groups is None else GroupedData(data)


def epoch_table(data: PreparedData, cost_model: CostModel) -> PlanningTable:
    """The planning table of an epoch of the training split.

    Raises:
        RunError: as for `PlanningTable.from_rows` and `from_groups`.
    """
    if data.groups is not None:
        grouped = GroupedData(data)
        return PlanningTable.from_groups(grouped.table, grouped.epoch_indices("train"), cost_model=cost_model)
    index = data.epoch_indices("train")
    return PlanningTable.from_rows(data.all_rows, index, places=data.row_indices(index), cost_model=cost_model)
