"""Which backbones there are, and what a packed row has to know of each."""

from transformers import PretrainedConfig

from rm_core.batches.row_format import RowFormat

__all__ = ["row_format_of"]


def row_format_of(config: PretrainedConfig) -> RowFormat:
    """How rows for this backbone are laid out."""
    vision = config.vision_config
    return RowFormat(
        image_token=config.image_token_id,
        video_token=config.video_token_id,
        time_per_second=getattr(vision, "tokens_per_second", None),
        window=getattr(vision, "window_size", None),
    )
