"""Comparisons of an epoch before anything is prepared: sizes of sources, and what the mixture leaves of them."""

from dataclasses import dataclass

from data_pipeline.config import PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.errors import RecipeError
from data_pipeline.filtering.mixture import used_sources
from rm_core.planner.config import PlanConfig

__all__ = ["Counts", "assumed_counts"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Comparisons, which may be fractions.

    Attributes:
        pictured, text: that an epoch shows, with images and without.
        held_pictured, held_text: likewise of the held-out split.
    """

    pictured: float
    text: float = 0.0
    held_pictured: float = 0.0
    held_text: float = 0.0


def assumed_counts(config: PlanConfig, preprocess: PreprocessConfig) -> Counts:
    """What `data_pipeline.filtering.mixture` would leave of `config.sizes`, or, where there are none, of
    `config.comparisons`; what rules and duplicates take away is not known.

    RLAIF-V's 83,000 and Tulu-3's 65,000 of text, 0.2 % held out, at a text ratio of 0.5: 82,834 and 41,417.

    Raises:
        RecipeError: a source that is used has no size, and others have.
    """
    sources, fraction = used_sources(preprocess), preprocess.split.heldout_fraction
    if not config.sizes or not sources:
        out = config.comparisons * fraction / (1 - fraction) if fraction < 1 else 0.0
        return Counts(pictured=config.comparisons, held_pictured=out)
    if unknown := [source.name for source in sources if source.name not in config.sizes]:
        raise RecipeError(f"plan.sizes has no number for {', '.join(unknown)}: add it, or leave plan.sizes empty")
    held = [_raw(config, source) * _held_share(source, preprocess.split) for source in sources]
    shown = [_shown(_raw(config, source) - less, source) for source, less in zip(sources, held, strict=True)]
    if sources[0].weight is not None:
        weights = [source.weight or 0.0 for source in sources]
        shown = [sum(shown) * weight / sum(weights) for weight in weights]
    bare = [source.name in config.text_only for source in sources]
    text = sum(one for one, is_bare in zip(shown, bare, strict=True) if is_bare)
    pictured = sum(shown) - text
    if preprocess.mixture.text_ratio is not None:
        text = preprocess.mixture.text_ratio * pictured
    held_text = sum(one for one, is_bare in zip(held, bare, strict=True) if is_bare)
    return Counts(pictured=pictured, text=text, held_pictured=sum(held) - held_text, held_text=held_text)


def _raw(config: PlanConfig, source: SourceConfig) -> float:
    size = config.sizes[source.name]
    return float(size if source.limit is None else min(size, source.limit))


def _held_share(source: SourceConfig, split: SplitConfig) -> float:
    if source.split is not None:
        return float(source.split == "heldout")
    return split.heldout_fraction


def _shown(trained: float, source: SourceConfig) -> float:
    return source.repeat * (trained if source.cap is None else min(trained, source.cap))
