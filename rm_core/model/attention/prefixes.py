"""Keys and values of prefixes: kept from one row, and known in later ones, which then leave these prefixes out.

    a row that computes P      P's keys and values of every layer --PrefixStates--> kept by the caller
    a row that leaves P out    [a b] -> put among P's own keys and values -> the kernel, over the whole row -> [a b]

`sdpa` takes the queries of computed tokens alone. The other kernels know nothing of it: they attend over the whole row,
in which the queries of known prefixes are zeros that nobody reads, so that the rest of the work is saved. Gim et al.
2023, "Prompt Cache" (arXiv 2311.04934), does so for prompts that begin alike.
Legend: C layers, G key/value heads, P tokens of a prefix, D head dimension, T tokens that are computed,
W tokens of the whole row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rm_core.batches.known_prefixes import WholeRow
from rm_core.batches.layout import BlockLayout

__all__ = ["PrefixStates", "RowPrefixes"]


@dataclass(frozen=True, slots=True)
class PrefixStates:
    """What later tokens read of a prefix.

    Attributes:
        keys: [C, G, P, D], rotary positions applied.
        values: [C, G, P, D].
    """

    keys: Tensor
    values: Tensor

    @property
    def num_tokens(self) -> int:
        return self.keys.shape[2]

    @property
    def num_bytes(self) -> int:
        return self.keys.nbytes + self.values.nbytes


@dataclass
class RowPrefixes:
    """Of one row, which prefixes are known and which shall be kept; for one forward pass without gradients.

    Attributes:
        known: place of a Comparison whose prefix the row leaves out -> its states.
        keep: places of Comparisons whose states are wanted; the row computes their prefixes.
    """

    known: Mapping[int, PrefixStates] = field(default_factory=dict)
    keep: Sequence[int] = ()
    _layers: dict[int, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    _layer: int = 0

    def check(self, layout: BlockLayout, whole: WholeRow | None) -> None:
        """That a row leaves out what is known, and no more.

        Args:
            layout: of the tokens that are computed.

        Raises:
            ValueError: it does not.
        """
        blocks = layout.blocks if whole is None else whole.layout.blocks
        both = list(zip(blocks, layout.blocks, strict=True))
        lacking = {place: all_.prefix_length for place, (all_, own) in enumerate(both) if all_.length > own.length}
        if lacking != (known := {place: states.num_tokens for place, states in self.known.items()}):
            raise ValueError(f"the row leaves out prefixes of {lacking} tokens, known are {known}")
        if wrong := [place for place in self.keep if place in lacking or place >= len(blocks)]:
            raise ValueError(f"the row has no prefixes of the Comparisons {wrong} to keep")

    def kept(self) -> dict[int, PrefixStates]:
        """The states that were wanted, after the forward pass."""
        return {
            place: PrefixStates(*(torch.stack(parts) for parts in zip(*layers, strict=True)))
            for place, layers in self._layers.items()
        }

    def see(self, layout: BlockLayout, key: Tensor, value: Tensor) -> None:
        """Keep what is wanted of a layer's keys and values [1, G, T, D], before `among` is asked about it."""
        for place in self.keep:
            block = layout.blocks[place]
            stop = block.start + block.prefix_length
            own = tuple(part[0, :, block.start : stop].clone() for part in (key, value))
            self._layers.setdefault(place, []).append((own[0], own[1]))

    def among(self, layout: BlockLayout, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's keys and values over the whole row: [1, G, W, D] from [1, G, T, D].

        Args:
            layout: of the tokens that are computed.
        """
        wholes = []
        for computed, part in ((key, "keys"), (value, "values")):
            pieces = []
            for place, own in enumerate(torch.split(computed, [block.length for block in layout.blocks], dim=2)):
                if (states := self.known.get(place)) is not None:
                    pieces.append(getattr(states, part)[self._layer][None])
                pieces.append(own)
            wholes.append(torch.cat(pieces, dim=2))
        self._layer += 1
        return wholes[0], wholes[1]
