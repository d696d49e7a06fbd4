"""Backbone + head over one packed row.

    pixels -> vision tower, once a distinct image -> features in the place of image tokens
                                                    and of middle blocks of a tower, behind the first decoder layers
    tokens -> decoder with the packed attention   -> pooled tokens -> head -> one reward a response
                                                  -> target tokens -> language head -> how unlikely each is
                                                          of a judge, which has no other head -> rewards (`verdicts`)

Legend: T tokens of the row, P vision patches, V image tokens, R responses, N target tokens, E hidden size.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from data_pipeline.errors import RecipeError
from rm_core.batches.packed import PackedBatch
from rm_core.batches.positions import RowFormat
from rm_core.model.attention import ATTENTION_NAME, KERNELS, RowAttention, RowPrefixes, Work, choose_kernel
from rm_core.model.compiled import compiles
from rm_core.model.config import HeadConfig
from rm_core.model.decoder import Deepstack, PackedLayer, run_decoder
from rm_core.model.families import family_of, row_format_of
from rm_core.model.head import RewardHead, pool, pooled_tokens
from rm_core.model.language_head import LanguageHead
from rm_core.model.running import RECOMPUTE, Running
from rm_core.model.tile_tower import TileBlock
from rm_core.model.verdicts import VerdictHead
from rm_core.model.vision_tower import PackedBlock

__all__ = ["Output", "RewardModel"]


class Output(NamedTuple):
    """What a model says about one row.

    Attributes:
        rewards: float32 [R], or [R, 2] with an uncertainty head.
        costs: float32 [N], -log P of each target token; None: the row names none.
    """

    rewards: Tensor
    costs: Tensor | None


class RewardModel(nn.Module):
    """One float32 reward per response of a `PackedBatch`; with a language head also how unlikely its targets are.

    Args:
        language_head: of the backbone, for a model that writes; None: no logits are ever computed.
        judges: whether rewards come from its verdicts about two answers: it has no other head then.

    Attributes:
        work: tokens and patches that really went through.
        lm_head: `language_head`, under the name that Transformers gives its weight.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        head_config: HeadConfig,
        language_head: LanguageHead | None = None,
        judges: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head_config = head_config
        self.family = family_of(backbone.config.model_type)
        self.judges = judges
        self.head: RewardHead | VerdictHead = VerdictHead()
        if not judges:
            self.head = RewardHead(self.family.text_config(backbone.config).hidden_size, head_config)
        self.lm_head = language_head
        self.work = Work()
        self._kernel = KERNELS["sdpa"]
        self._recompute = "none"
        self._compiled = False
        self._alone = False
        self._dtype: torch.dtype | None = None

    @property
    def kernel(self) -> str:
        """The attention kernel's name."""
        return self._kernel.name

    @property
    def layers(self) -> list[nn.Module]:
        """Decoder layers and blocks of the tower: each is run by its `forward`, at whose border hooks fire."""
        return [
            module for module in self.backbone.modules() if isinstance(module, PackedLayer | PackedBlock | TileBlock)
        ]

    @property
    def row_format(self) -> RowFormat:
        """How rows for this model are laid out: of its backbone and its attention kernel."""
        writes = self.lm_head is not None
        return row_format_of(
            self.backbone.config, self._kernel.name, pixels=self.dtype, targets=writes, verdicts=self.judges
        )

    def use_attention(self, name: str, *, key: str = "train.attention") -> None:
        """Compute attention by the kernel called `name`, on the device where the weights are now.

        Args:
            key: what a recipe calls it.

        Raises:
            RecipeError: unknown, or this machine cannot run it.
        """
        self._kernel = choose_kernel(name, self.device, self.dtype, key=key)

    def use_language_loss(self, which: str) -> None:
        """What computes the costs of targets: one of `LANGUAGE_LOSSES`; nothing where there is no language head.

        Raises:
            RecipeError: unknown, or this machine cannot run it.
        """
        if self.lm_head is not None:
            self.lm_head.use_loss(which)

    def run_alone(self) -> None:
        """Nobody shares its weights: a row without images is not sent through the vision tower (see `_embed`)."""
        self._alone = True

    def recompute_activations(self, which: str) -> None:
        """What of a layer's activations is made again in the backward pass while training: one of `RECOMPUTE`.

        Raises:
            RecipeError: another word.
        """
        if which not in RECOMPUTE:
            raise RecipeError(f"train.activation_checkpointing={which!r}: choose one of {', '.join(RECOMPUTE)}")
        self._recompute = which

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the backbone computes in."""
        return self.backbone.dtype if self._dtype is None else self._dtype

    def compute_in(self, dtype: torch.dtype) -> None:
        """Say so where weights are kept in another type than the one they have in a forward pass."""
        self._dtype = dtype

    @property
    def compiled(self) -> bool:
        """Whether parts of its layers are compiled."""
        return self._compiled

    def compile_parts(self, which: str) -> None:
        """Compile the parts of all layers around their attention, or not: one of `COMPILE`, on the device where the
        weights are now. Rewards and gradients stay what they are.

        Raises:
            RecipeError: another word, or this machine cannot compile.
        """
        self._compiled = compiles(which, self.device)

    def forward(self, batch: PackedBatch, prefixes: RowPrefixes | None = None) -> Tensor | Output:
        """Rewards float32 [R] in the order of the row's responses, or [R, 2] with an uncertainty head; R may be 0.

        Of a row that names targets, the `Output`, with their costs: N may be 0, and the language head runs all the
        same, since under ZeRO-3 other ranks wait for this one.

        Args:
            prefixes: of a row that leaves some out, or of which some shall be kept.

        Raises:
            RuntimeError: a layer ran another attention than the packed one.
            ValueError: the row names targets, and the model has no language head; or questions are asked of a model
                that is no judge, or of a judge none.
        """
        if (batch.verdicts is None) == self.judges:
            raise ValueError(f"the row of {batch.ids} asks for verdicts, or the model gives them, but not both")
        if batch.targets is not None and self.lm_head is None:
            raise ValueError(f"the row of {batch.ids} names targets, and the model has no language head")
        decoder: Any = self.family.decoder(self.backbone)
        if decoder.config._attn_implementation != ATTENTION_NAME:
            raise RuntimeError(f"backbone runs {decoder.config._attn_implementation!r}, not {ATTENTION_NAME!r}")
        self.work.begin()
        embeddings, deepstack = self._embed(decoder, batch)
        pooled = batch.reward_index[:0] if batch.verdicts else pooled_tokens(batch, self.head_config.pooling)
        read = pooled if batch.targets is None else torch.cat([pooled, batch.targets.index])
        hidden = run_decoder(
            decoder, embeddings, self.family.rotary_positions(batch),
            RowAttention(self._kernel, batch.layout, batch.attention, self.work, batch.whole, prefixes), read,
            running=self._running, deepstack=deepstack,
        )  # fmt: skip
        self.work.end(
            num_layers=len(decoder.layers),
            num_blocks=self.family.num_vision_blocks(self.backbone) if self._runs_tower(batch) else 0,
            filler=batch.num_filler,
            blank=not len(batch.image_token_index),
        )
        if batch.targets is None or self.lm_head is None:
            rewards: Tensor = self.head(pool(hidden, batch, self.head_config.pooling))
            return rewards
        costs = self.lm_head(hidden[len(pooled) :], batch.targets.ids)
        if batch.verdicts is not None:
            of_verdicts = costs[: 2 * len(batch.verdicts.first)]
            return Output(self.head(of_verdicts, batch.verdicts, sum(batch.num_responses)), costs)
        return Output(self.head(pool(hidden[: len(pooled)], batch, self.head_config.pooling)), costs)

    def _runs_tower(self, batch: PackedBatch) -> bool:
        return self.family.has_vision and not (self._alone and len(batch.image_token_index) == 0)

    @property
    def _running(self) -> Running:
        return Running(recompute=self._recompute if self.training else "none", compiled=self._compiled)

    def _embed(self, decoder: Any, batch: PackedBatch) -> tuple[Tensor, Deepstack | None]:
        """Token embeddings [T, E] with the vision tower's features in the place of image tokens, and what is added to
        these in the decoder.

        The tower runs in every call, but for a model that runs alone: a row without images carries one blank image
        whose features are added with weight 0. Under ZeRO-3 a rank that skipped the tower would leave the others
        waiting in its all-gathers, and a tower outside the loss would leave them waiting in the backward pass.
        """
        embeddings: Tensor = decoder.embed_tokens(batch.input_ids)
        if not self._runs_tower(batch):
            return embeddings, None
        features, *deeper = self.family.image_features(
            self.backbone, batch, embeddings.dtype, running=self._running, work=self.work
        )
        if batch.image_token_index.numel() == 0:
            for one in (features, *deeper):
                embeddings = embeddings + 0.0 * one.sum().to(embeddings.dtype)
            return embeddings, None
        shown = [one.to(embeddings.dtype)[batch.image_feature_index] for one in (features, *deeper)]
        index = batch.image_token_index
        return embeddings.index_copy(0, index, shown[0]), Deepstack(index, shown[1:]) if deeper else None
