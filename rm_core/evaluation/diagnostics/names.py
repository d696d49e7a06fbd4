"""The names of the probes, by themselves: a recipe is read without what applies them."""

__all__ = ["FORMAT_PROBES", "PICTURE_PROBES", "PROBE_NAMES", "TEXT_PROBES"]

PICTURE_PROBES = ("blank_images", "shuffled_images", "noise_images")
"""Every picture is grey, another Comparison's, or noise, of the same size."""
FORMAT_PROBES = ("markdown_stripped", "trailing_spaces", "polite_sentence")
"""Every answer says the same in another form."""
TEXT_PROBES = (*FORMAT_PROBES, "irrelevant_sentence", "reversed_answers")
"""And: a sentence about nothing in the prompt, and the answers in the other order."""
PROBE_NAMES = (*PICTURE_PROBES, *TEXT_PROBES)
