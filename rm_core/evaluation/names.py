"""The names of suites and probes, by themselves: a recipe is read without what measures or applies them."""

__all__ = ["FORMAT_PROBES", "PICTURE_PROBES", "PROBE_NAMES", "SUITE_NAMES", "TEXT_PROBES"]

SUITE_NAMES = ("mm_rlhf_rewardbench", "vl_rewardbench", "multimodal_rewardbench", "rewardbench", "rm_bench")
"""In the order of `suites.registry`."""

PICTURE_PROBES = ("blank_images", "shuffled_images", "noise_images")
"""Every picture is grey, another Comparison's, or noise, of the same size."""
FORMAT_PROBES = ("markdown_stripped", "trailing_spaces", "polite_sentence")
"""Every answer says the same in another form."""
TEXT_PROBES = (*FORMAT_PROBES, "irrelevant_sentence", "reversed_answers")
"""And: a sentence about nothing in the prompt, and the answers in the other order."""
PROBE_NAMES = (*PICTURE_PROBES, *TEXT_PROBES)
