"""Files beside a model's weights from which Transformers takes its chat template and its image processor."""

import json
import os
from typing import Any

from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.template import chat_template
from data_pipeline.media import IMAGE_FORMATS, ImageFormat
from data_pipeline.storage import join, write_atomic

__all__ = ["write_processor_files"]

_PROCESSORS = {"qwen2.5-vl": "Qwen2_5_VLProcessor", "qwen3-vl": "Qwen3VLProcessor", "internvl": "InternVLProcessor"}
"""Transformers' classes."""


def write_processor_files(
    folder: str, encode: EncodeConfig, *, images: bool = True, answer_end: str = "line_break"
) -> None:
    """Write what else Transformers reads, so that it resizes and formats as we do.

    ``preprocessor_config.json`` has the limits of `encode` in pixels or tiles, ``chat_template.jinja`` its system
    prompt. There is no file for videos: Transformers' video processor needs torchvision.

    Args:
        images: whether the model has an image processor; without, there are no limits to write.
        answer_end: as for `chat_template`.
    """
    template = chat_template(encode.system_prompt, answer_end=answer_end, family=encode.family)
    write_atomic(join(folder, "chat_template.jinja"), template.encode())
    if not images:
        return
    processor, limits = _processor(IMAGE_FORMATS[encode.family], encode)
    processor.save_pretrained(folder)
    path = os.path.join(folder, "preprocessor_config.json")
    with open(path, encoding="utf8") as file:
        written = json.load(file)
    more = limits | {"processor_class": _PROCESSORS[encode.family]}
    write_atomic(path, f"{json.dumps(written | more, indent=2, sort_keys=True)}\n".encode())


def _processor(format: ImageFormat, encode: EncodeConfig) -> tuple[Any, dict[str, Any]]:
    """The image processor, and keys that its file has besides.

    Of each the variant that needs no torchvision; the file names the class of both. Qwen3-VL has that of Qwen2-VL.
    """
    colours: dict[str, Any] = {"image_mean": list(format.mean), "image_std": list(format.std)}
    if format.tile:
        tiles: dict[str, Any] = {
            "crop_to_patches": True,
            "min_patches": encode.min_tiles,
            "max_patches": encode.max_tiles,
        }
        size = {"height": format.tile, "width": format.tile}
        return GotOcr2ImageProcessorPil(size=size, **colours, **tiles), {}
    limits: dict[str, Any] = {"min_pixels": encode.min_pixels, "max_pixels": encode.max_pixels}
    # Written beside `size`, as the published folders have them: other programs read the limits under these names.
    return Qwen2VLImageProcessorPil(**limits, patch_size=format.patch, **colours), limits
