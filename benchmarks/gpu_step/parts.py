"""The parts of `benchmarks.gpu_step`: equality, recompilations, speed with an optimiser, speed of a larger model.

Each part makes its own model, returns figures, and leaves nothing on the device.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.utils import counters

from benchmarks.common.lengths import Lengths
from benchmarks.gpu_step.cases import Kind, make_comparisons, noise
from benchmarks.gpu_step.models import MasterAdamW, cast_backbone, free, new_model, use_kernel
from benchmarks.gpu_step.runs import Packed, Padded, Timed, separate_rewards, timed
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.packed import collate
from rm_core.model import padded_linear
from rm_core.model.attention import KERNELS
from rm_core.model.reward_model import RewardModel
from rm_core.model.running import RECOMPUTE

__all__ = ["Scale", "equality", "large_model", "price_of_recomputation", "recompilations", "training"]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large everything is.

    Attributes:
        dtype: of the weights; equality is always that of bfloat16.
        shape, large_shape: sizes of the model that is trained, and of the one that only runs forward and backward.
        side: pixels a side of an image.
        comparisons: of a step.
        repetitions: steps that are timed, after one of warm-up.
        budgets: tokens of a packed row by which activations are recomputed: kept activations fill the memory.
        rows: packed rows of different lengths whose compilations are counted.
        asked_kernels: attention kernels by name, those that cannot run here included.
        compile_parts: how the runs that compile do so (`train.compile`); ``none``: they are left out.
    """

    device: torch.device
    dtype: torch.dtype
    shape: str
    large_shape: str
    vocabulary: int
    side: int
    prompt: int
    response: Lengths
    comparisons: int
    repetitions: int
    budgets: dict[str, int]
    rows: int
    asked_kernels: tuple[str, ...] = tuple(KERNELS)
    compile_parts: str = "none"

    def kind(self, num_responses: int, *, side: int | None = None) -> Kind:
        """Comparisons of K responses; `side` in place of this scale's own."""
        return Kind(
            num_responses=num_responses, side=self.side if side is None else side, prompt=self.prompt,
            response=self.response, vocabulary=self.vocabulary,
        )  # fmt: skip

    @property
    def kernels(self) -> list[str]:
        """Attention kernels that train here, of those asked for."""
        return [name for name in self.asked_kernels if not KERNELS[name].why_not(self.device, self.dtype)]

    @contextmanager
    def model(
        self, shape: str, *, layers: int | None = None, dtype: torch.dtype | None = None
    ) -> Iterator[RewardModel]:
        """A new model, gone after the block; `dtype` in place of this scale's own."""
        free(self.device)
        kind = self.dtype if dtype is None else dtype
        held = [new_model(shape, vocabulary=self.vocabulary, device=self.device, dtype=kind, layers=layers)]
        try:
            yield held[0]
        finally:
            # Gradients and weights go even where an exception's frames still hold the model.
            held.pop().to("meta")
            free(self.device)


def equality(scale: Scale) -> dict[str, Any]:
    """How far 16-bit rewards are from float32 ones: packed rows, and Transformers on each response alone.

    Both round, in another order; so what counts is whether packing adds to the error. The float32 rewards are those of
    Transformers with the same weights. `bf16_error_ratio` is the packed error (root mean square over responses) over
    the separate one, of the worst kernel. Backward passes are compared between kernels: `gradient_KERNEL_difference`
    is how far the gradient of the first layer's key projection, through which all layers' attention passes, is from
    that by sdpa, as a share of its length.
    """
    small = scale.side // 2
    kinds = [scale.kind(2, side=small), scale.kind(4, side=small), scale.kind(2, side=0), scale.kind(3, side=small)]
    items = [item for seed, kind in enumerate(kinds) for item in make_comparisons(kind, 2, seed)]
    figures: dict[str, Any] = {}
    with scale.model(scale.shape, dtype=torch.bfloat16) as model:
        figures |= _gradient_differences(model.eval(), items, scale)
    with scale.model(scale.shape, dtype=torch.bfloat16) as model, torch.no_grad():
        model.eval()
        kernels = scale.kernels if scale.device.type == "cuda" else ["sdpa", "flex"]
        packed = {name: _packed_rewards(model, items, name, scale.device) for name in kernels}
        separate = torch.cat([separate_rewards(model, item, scale.device) for item in items])
        cast_backbone(model, torch.float32)
        truth = torch.cat([separate_rewards(model, item, scale.device) for item in items])
    alone = _distance(separate, truth)
    figures |= {"equality_spread": float(truth.std()), "equality_transformers_error": alone}
    for name, rewards in packed.items():
        figures[f"equality_{name}_error"] = _distance(rewards, truth)
    figures["bf16_error_ratio"] = max(figures[f"equality_{name}_error"] for name in packed) / alone
    return figures


def _packed_rewards(
    model: RewardModel, items: Sequence[EncodedComparison], kernel: str, device: torch.device
) -> Tensor:
    """All Comparisons in one row."""
    use_kernel(model, kernel, device)
    rewards: Tensor = model(collate(items, row_format=model.row_format, load_image=noise).to(device))
    assert model.work.take().kernel == kernel
    return rewards


def _gradient_differences(model: RewardModel, items: Sequence[EncodedComparison], scale: Scale) -> dict[str, Any]:
    """Of every kernel but sdpa."""
    by_sdpa = _key_gradient(model, items, "sdpa", scale.device)
    others = [name for name in scale.kernels if name != "sdpa"]
    distances = {name: (_key_gradient(model, items, name, scale.device) - by_sdpa).norm() for name in others}
    return {f"gradient_{name}_difference": float(distance / by_sdpa.norm()) for name, distance in distances.items()}


def _key_gradient(model: RewardModel, items: Sequence[EncodedComparison], kernel: str, device: torch.device) -> Tensor:
    """Gradient of the first layer's key projection, float32, for rewards weighed by numbers that do not cancel."""
    model.zero_grad(set_to_none=True)
    rewards = _packed_rewards(model, items, kernel, device)
    rewards.backward(torch.linspace(-1, 2, len(rewards), device=device))
    gradient = model.family.decoder(model.backbone).layers[0].self_attn.k_proj.weight.grad
    assert gradient is not None
    return gradient.float()


def _distance(rewards: Tensor, truth: Tensor) -> float:
    return float((rewards - truth).double().square().mean().sqrt())


def recompilations(scale: Scale) -> dict[str, Any]:
    """Graphs that PyTorch compiles over rows of many lengths; after the first rows there should be no new ones.

    Two layers of the full width: what is compiled does not depend on the depth.
    """
    kernel = "flex" if "flex" in scale.kernels else scale.kernels[0]
    kind = scale.kind(2, side=scale.side // 2)
    items = make_comparisons(kind, scale.rows * 2, seed=1)
    seen: list[int] = []
    lengths: set[int] = set()
    with scale.model(scale.shape, layers=2) as model:
        use_kernel(model, kernel, scale.device)
        counters.clear()
        for row in range(scale.rows):
            chosen = items[2 * row : 2 * row + 1 + row % 2]
            run = Packed(model=model, comparisons=chosen, token_budget=1 << 20, device=scale.device)
            run.step()
            lengths.add(run.rows[0].num_tokens)
            seen.append(int(counters["stats"]["unique_graphs"]))
    return {
        "recompile_rows": scale.rows,
        "recompile_lengths": len(lengths),
        "graphs_after_first_row": seen[0],
        "graphs_after_all_rows": seen[-1],
        "recompiles": seen[-1] - seen[0],
        "graphs_by_row": seen,
    }


def training(scale: Scale, attempt: Callable[[str, Callable[[], Timed]], Timed | None]) -> dict[str, Any]:
    """Whole steps with an optimiser: kernels, recomputation, and packed against padded rows for K = 2 and 4.

    Args:
        attempt: runs a measurement by its name; None where it did not fit into memory or time.
    """
    pairs, fours = (make_comparisons(scale.kind(count), scale.comparisons, seed=2) for count in (2, 4))
    found: dict[str, Timed | None] = {}
    with scale.model(scale.shape) as model:
        optimizer = MasterAdamW(list(model.parameters()))
        bench = _Bench(scale, model, optimizer)
        for kernel in scale.kernels:
            name = f"k2_full_{kernel}"
            found[name] = attempt(name, partial(bench.packed, pairs, kernel, "full"))
        done = {name: run for name, run in found.items() if run is not None}
        best = min(done, key=lambda name: done[name].s, default=f"k2_full_{scale.kernels[0]}")
        kernel = best.removeprefix("k2_full_")
        found["k2_selective"] = attempt("k2_selective", partial(bench.packed, pairs, kernel, "selective"))
        found |= _ladder(bench, pairs, kernel, attempt)
        smallest = min(scale.budgets.values())
        for mode in RECOMPUTE:  # rows of one size: what is kept is all that differs
            name = f"k2_{mode}_equal_rows"
            found[name] = attempt(name, partial(bench.packed, pairs, kernel, mode, token_budget=smallest))
        found["k4_full"] = attempt("k4_full", partial(bench.packed, fours, kernel, "full"))
        found["k2_padded"] = attempt("k2_padded", partial(bench.padded, pairs, fast_tower=True))
        found["k4_padded"] = attempt("k4_padded", partial(bench.padded, fours, fast_tower=True))
        found["k2_transformers"] = attempt("k2_transformers", partial(bench.padded, pairs, fast_tower=False))
    return _training_figures(found, best)


def _ladder(
    bench: "_Bench", pairs: Sequence[EncodedComparison], kernel: str, attempt: Callable[..., Timed | None]
) -> dict[str, Timed | None]:
    """One thing after the other, each beside `k2_full` with that kernel: the MLP not padded, parts compiled."""
    found = {}
    with bench.unpadded():
        found["k2_full_unpadded"] = attempt("k2_full_unpadded", partial(bench.packed, pairs, kernel, "full"))
    if (how := bench.compile_parts) != "none":
        for mode in ("full", "selective"):
            name = f"k2_{mode}_compiled"
            found[name] = attempt(name, partial(bench.packed, pairs, kernel, mode, compile_parts=how))
    return found


def _training_figures(found: dict[str, Timed | None], best: str) -> dict[str, Any]:
    figures: dict[str, Any] = {"kernel": best.removeprefix("k2_full_")}
    for name, run in found.items():
        figures |= {} if run is None else run.figures(name)
    packed = [run.mfu for name, run in found.items() if run and name.startswith(("k2_full", "k2_sel", "k2_none"))]
    figures |= price_of_recomputation(found)
    if known := [mfu for mfu in packed if mfu is not None]:
        figures["mfu_3b"] = max(known)
    for ratio, theirs, ours in (
        ("ratio_k2", "k2_padded", best),
        ("ratio_k4", "k4_padded", "k4_full"),
        ("ratio_k2_transformers", "k2_transformers", best),
    ):
        their, our = found.get(theirs), found.get(ours)
        if their is not None and our is not None:
            figures[ratio] = their.s / our.s
    return figures


def price_of_recomputation(found: dict[str, Timed | None]) -> dict[str, Any]:
    """Seconds of each way to recompute over those of none, of runs with as many rows a step; others are left out."""
    none = found.get("k2_none_equal_rows")
    runs = {mode: found.get(f"k2_{mode}_equal_rows") for mode in RECOMPUTE if mode != "none"}
    return {
        f"{mode}_over_none": run.s / none.s
        for mode, run in runs.items()
        if run is not None and none is not None and run.rows == none.rows
    }


def large_model(scale: Scale, attempt: Callable[[str, Callable[[], Timed]], Timed | None]) -> dict[str, Any]:
    """Forward and backward of the larger model; its optimiser would not fit beside it, so no step is taken."""
    items = make_comparisons(scale.kind(2), scale.comparisons, seed=3)
    kernel = "flex" if "flex" in scale.kernels else scale.kernels[0]
    with scale.model(scale.large_shape) as model:
        bench = _Bench(scale, model, None)
        run = attempt("large_without_optimizer", partial(bench.packed, items, kernel, "full"))
    return {} if run is None else run.figures("large_without_optimizer")


class _Bench:
    """One model, timed in different ways; the peak of memory starts anew for each."""

    def __init__(self, scale: Scale, model: RewardModel, optimizer: MasterAdamW | None) -> None:
        self._scale = scale
        self._model = model
        self._optimizer = optimizer

    @property
    def compile_parts(self) -> str:
        return self._scale.compile_parts

    @contextmanager
    def unpadded(self) -> Iterator[None]:
        """Widths as they are published, on this device."""
        kind = self._scale.device.type
        before = padded_linear.MULTIPLES.get(kind)
        padded_linear.MULTIPLES[kind] = 1
        try:
            yield
        finally:
            padded_linear.MULTIPLES.pop(kind)
            padded_linear.MULTIPLES |= {} if before is None else {kind: before}

    def packed(
        self, items: Sequence[EncodedComparison], kernel: str, recompute: str, *, token_budget: int | None = None,
        compile_parts: str = "none",
    ) -> Timed:  # fmt: skip
        """`token_budget` in place of the one that fills the memory with what `recompute` keeps."""
        self._begin()
        self._model.compile_parts(compile_parts)
        use_kernel(self._model, kernel, self._scale.device)
        self._model.recompute_activations(recompute)
        run = Packed(
            model=self._model, comparisons=items, token_budget=token_budget or self._scale.budgets[recompute],
            device=self._scale.device, optimizer=self._optimizer,
        )  # fmt: skip
        return self._timed(run, items)

    def padded(self, items: Sequence[EncodedComparison], *, fast_tower: bool) -> Timed:
        self._begin()
        self._model.compile_parts("none")
        self._model.recompute_activations("none")
        run = Padded(
            model=self._model, comparisons=items, device=self._scale.device, recompute=True, fast_tower=fast_tower,
            optimizer=self._optimizer,
        )  # fmt: skip
        return self._timed(run, items)

    def _begin(self) -> None:
        """A measurement that ran out of memory leaves gradients behind."""
        self._model.zero_grad()
        free(self._scale.device)

    def _timed(self, run: Packed | Padded, items: Sequence[EncodedComparison]) -> Timed:
        return timed(run, items, self._model, self._scale.device, repetitions=self._scale.repetitions)
