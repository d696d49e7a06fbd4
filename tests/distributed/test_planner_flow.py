"""What FSDP holds while a row runs, beside what it keeps: the planner's bytes against those of real ranks.

Counted where it holds most: when a unit's weights have come, when its backward pass is over, when its gradients are
laid out to be sent, and when they are sent.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed_ranks import run_ranks
from planned_memory import Case, live_storages, new_model, predicted, train_config
from sharding import begin

pytestmark = pytest.mark.drill

ON_TWO: list[Case] = [
    ("fsdp-1", "bf16", ""), ("fsdp-2", "bf16", ""), ("fsdp-3", "bf16", ""), ("fsdp-3-step", "bf16", ""),
    ("fsdp-3", "fp32", ""), ("fsdp-3", "bf16", "frozen"),
]  # fmt: skip
ON_FOUR: list[Case] = [("fsdp-3", "bf16", "second"), ("fsdp-3-row-2", "bf16", "")]
OWN = "backward", "step"
"""Fields of `States`: with activations, and without, for embeddings and root."""


class Watch:
    """The most bytes beside `kept` while it is on, by field of `States`."""

    def __init__(self) -> None:
        self.most: dict[str, int] | None = None
        gc.collect()
        gc.freeze()  # what was there before is not looked at
        self._kept = 0
        self._field = ""

    def begin(self) -> None:
        self._kept = self._bytes()
        self.most = dict.fromkeys(OWN, 0)

    def enter(self, group: Any) -> None:
        """`group`: FSDP's parameters of a unit, which is the root where it has no name."""
        name = group._module_fqn or ""
        self._field = "step" if not name or name.endswith("embed_tokens") else "backward"

    def look(self) -> None:
        if self.most is not None:
            self.most[self._field] = max(self.most[self._field], self._bytes() - self._kept)

    def _bytes(self) -> int:
        return sum(one.nbytes() for one in live_storages().values())


def watch_units(patch: pytest.MonkeyPatch, watch: Callable[[], Watch]) -> None:
    from torch.distributed.fsdp._fully_shard import _fsdp_collectives, _fsdp_param_group

    group, scatter = _fsdp_param_group.FSDPParamGroup, _fsdp_collectives.DefaultReduceScatter
    come, wait, end = _fsdp_param_group.foreach_all_gather_copy_out, group.wait_for_unshard, group.post_backward
    lay, send = _fsdp_collectives.foreach_reduce_scatter_copy_in, scatter.__call__

    def coming(*arguments: Any) -> None:
        come(*arguments)
        watch().look()

    def waiting(self: Any) -> None:
        watch().enter(self)
        wait(self)

    def ending(self: Any, *arguments: Any) -> None:
        watch().enter(self)
        watch().look()
        end(self, *arguments)

    def laying(*arguments: Any) -> None:
        lay(*arguments)
        watch().look()

    def sending(self: Any, *arguments: Any, **named: Any) -> Any:
        watch().look()
        return send(self, *arguments, **named)

    patch.setattr(_fsdp_param_group, "foreach_all_gather_copy_out", coming)
    patch.setattr(group, "wait_for_unshard", waiting)
    patch.setattr(group, "post_backward", ending)
    patch.setattr(_fsdp_collectives, "foreach_reduce_scatter_copy_in", laying)
    patch.setattr(scatter, "__call__", sending)


def measure(cases: list[Case], ranks: int) -> dict[Case, dict[str, int]]:
    """The most in a step's second row and its last one, when all gradients of the step have their place."""
    from toys import toy_comparison

    from rm_core.batches.packed import collate

    found, watches = {}, [Watch()]
    with pytest.MonkeyPatch.context() as patch:
        watch_units(patch, lambda: watches[-1])
        for case in cases:
            watches.append(Watch())
            model = new_model(case)
            engine = begin(model, train_config(case, ranks))
            model.train()
            row = collate([toy_comparison(0)], row_format=model.row_format)
            engine.backward(engine.forward(row).sum(), last_row=False)
            watches[-1].begin()
            for last_row in (False, True):
                engine.backward(engine.forward(row).sum(), last_row=last_row)
            assert watches[-1].most is not None
            found[case] = watches[-1].most
            del engine, model, row
    return found


@pytest.mark.parametrize(("cases", "ranks"), [(ON_TWO, 2), (ON_FOUR, 4)], ids=["two", "four"])
def test_what_flows_is_as_planned(cases: list[Case], ranks: int, tmp_path: Path) -> None:
    for of_rank in run_ranks(measure, ranks, tmp_path, cases, ranks):
        for case in cases:
            states = predicted(case, ranks)
            planned = {name: getattr(states, name) for name in OWN}
            assert of_rank[case] == pytest.approx(planned, rel=0.1), case
