"""Backbone + head over one packed row.

Legend: T tokens of the row, P vision patches, V image tokens, R responses, E hidden size.
"""

from torch import Tensor, nn
from transformers import Qwen2_5_VLModel

from rm_core.batches.packed import PackedBatch
from rm_core.model.attention import ATTENTION_NAME
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead

__all__ = ["RewardModel"]


class RewardModel(nn.Module):
    """One float32 reward per response of a `PackedBatch`.

    No logits are computed: the backbone is `Qwen2_5_VLModel`, without a language-model head.
    """

    def __init__(self, backbone: Qwen2_5_VLModel, head_config: HeadConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.head_config = head_config
        self.head = RewardHead(backbone.language_model.config.hidden_size, head_config)

    def forward(self, batch: PackedBatch) -> Tensor:
        """Rewards float32 [R] in the order of the row's responses; R may be 0.

        Raises:
            RuntimeError: the backbone would run another attention than the packed one.
        """
        text = self.backbone.language_model
        if text.config._attn_implementation != ATTENTION_NAME:
            raise RuntimeError(f"backbone runs {text.config._attn_implementation!r}, not {ATTENTION_NAME!r}")
        hidden = text(
            inputs_embeds=self._embed(batch)[None],
            position_ids=batch.position_ids[:, None],
            attention_mask={"full_attention": batch.layout},
            use_cache=False,
        ).last_hidden_state[0]
        rewards: Tensor = self.head(hidden[batch.reward_index])
        return rewards

    def _embed(self, batch: PackedBatch) -> Tensor:
        """Token embeddings [T, E] with the vision tower's features in the place of image tokens.

        The tower runs in every call: a row without images carries one blank 28 x 28 image whose feature is added with
        weight 0. Under ZeRO-3 a rank that skipped the tower would leave the others waiting in its all-gathers, and
        a tower outside the loss would leave them waiting in the backward pass.
        """
        embeddings: Tensor = self.backbone.language_model.embed_tokens(batch.input_ids)
        visual = self.backbone.visual
        features: Tensor = visual(batch.pixel_values.to(embeddings.dtype), grid_thw=batch.image_grid).pooler_output
        features = features.to(embeddings.dtype)
        if batch.image_token_index.numel() == 0:
            return embeddings + 0.0 * features.sum()
        return embeddings.index_copy(0, batch.image_token_index, features[batch.image_feature_index])
