"""The backbones a reward model can stand on, one file a family.

`base` says what a family has to provide. `qwen_vl` holds Qwen2-VL and Qwen2.5-VL, `qwen3_vl` Qwen3-VL, `internvl`
InternVL3 and InternVL3.5, `qwen_text` the text-only Qwen2, Qwen2.5 and Qwen3.
"""

from rm_core.model.families.base import Family
from rm_core.model.families.registry import FAMILIES, family_of, group_of, row_format_of

__all__ = ["FAMILIES", "Family", "family_of", "group_of", "row_format_of"]
