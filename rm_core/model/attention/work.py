"""What really ran: tokens through the packed attention, patches through the vision tower.

A fast path that is configured and does not run is the kind of fault nobody sees. The trainer compares these counts with
the plan after every step.
"""

from dataclasses import dataclass

__all__ = ["Work", "WorkDone"]


@dataclass(frozen=True, slots=True)
class WorkDone:
    """Since the counter was last read.

    Attributes:
        tokens: of Comparisons, through every decoder layer; no filler.
        patches: of distinct images, through the vision tower; no blank image.
        kernel: the attention kernel that ran; "" where nothing did.
    """

    tokens: int
    patches: int
    kernel: str


class Work:
    """Counts forward passes; the recomputation of activations in the backward pass is not counted."""

    def __init__(self) -> None:
        self._tokens = 0
        self._patches = 0
        self._kernels: set[str] = set()
        self._layers: list[int] | None = None
        self._blocks: list[int] = []

    def begin(self) -> None:
        """A forward pass over one row begins."""
        self._layers, self._blocks = [], []

    def layer(self, tokens: int, kernel: str) -> None:
        """A decoder layer's attention ran over `tokens` tokens."""
        if self._layers is not None:
            self._layers.append(tokens)
            self._kernels.add(kernel)

    def block(self, patches: int) -> None:
        """A block of the vision tower ran over `patches` patches."""
        if self._layers is not None:
            self._blocks.append(patches)

    def end(self, *, num_layers: int, num_blocks: int, filler: int, blank: bool) -> None:
        """The forward pass is over.

        Args:
            num_layers: decoder layers of the backbone.
            num_blocks: blocks of its vision tower, 0 where it has none.
            filler: tokens of the row that belong to no Comparison.
            blank: whether the tower only read the blank image of a row without images.

        Raises:
            RuntimeError: a layer did not run the packed attention, a block of the tower was left out, or they ran over
                other rows.
        """
        layers, self._layers = self._layers or [], None
        if len(layers) != num_layers or len(set(layers)) != 1:
            raise RuntimeError(
                f"packed attention ran in {len(layers)} of {num_layers} layers, over {sorted(set(layers))} tokens"
            )
        if len(self._blocks) != num_blocks or len(set(self._blocks)) > 1:
            raise RuntimeError(
                f"the tower ran {len(self._blocks)} of {num_blocks} blocks, over {sorted(set(self._blocks))} patches"
            )
        self._tokens += layers[0] - filler
        self._patches += 0 if blank else sum(self._blocks[:1])

    def take(self) -> WorkDone:
        """The counts, which start again at 0.

        Raises:
            RuntimeError: rows ran through different kernels.
        """
        if len(self._kernels) > 1:
            raise RuntimeError(f"rows ran through several attention kernels: {sorted(self._kernels)}")
        done = WorkDone(self._tokens, self._patches, next(iter(self._kernels), ""))
        self._tokens, self._patches = 0, 0
        self._kernels.clear()
        return done
