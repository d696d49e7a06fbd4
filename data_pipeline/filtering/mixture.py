"""How much of each source an epoch shows: sources left out, caps, repeats, weights, and the share of text.

    repeat of the source * repeat of the file --weights--> --text_ratio--> rate --fraction by hash--> repeats

A rate of 1.5 shows every row once and half of the rows, by a hash of seed and content, twice. Rates below 1 leave rows
out of the epoch: such a row is kept and has 0 repeats. Held-out rows are always shown once.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.errors import RecipeError
from data_pipeline.filtering.columns import Bools, Ints, numbers, shares

__all__ = ["check_mixture", "over_caps", "repeats", "used_sources"]

Rates = npt.NDArray[np.float64]


def check_mixture(config: PreprocessConfig) -> None:
    """Refuse what no mixture can be made of.

    Raises:
        RecipeError: a name of `mixture.only` that no source has, or weights on some of the used sources only.
    """
    names = [source.name for source in config.sources]
    for name in config.mixture.only:
        if name not in names:
            raise RecipeError(f"mixture.only names {name!r}: no source has that name; there are {', '.join(names)}")
    weighted = [source.name for source in used_sources(config) if source.weight is not None]
    bare = [source.name for source in used_sources(config) if source.weight is None]
    if weighted and bare:
        raise RecipeError(
            f"sources {', '.join(weighted)} have a weight and {', '.join(bare)} have none: give one to each or to none"
        )


def used_sources(config: PreprocessConfig) -> list[SourceConfig]:
    """The sources that `mixture.only` leaves, in the recipe's order."""
    only = config.mixture.only
    return [source for source in config.sources if not only or source.name in only]


def over_caps(table: pa.Table, train: Ints, sources: list[SourceConfig]) -> Bools:
    """Which rows are above their source's cap: bool [N]. Those of smallest hash of seed and content stay.

    Args:
        train: the rows that are trained on; held-out ones are not capped.
    """
    over = np.zeros(len(table), dtype=np.bool_)
    names = np.array(table["source"].take(pa.array(train)).to_pylist(), dtype=object)
    for source in sources:
        if source.cap is None:
            continue
        rows = train[names == source.name]
        keys = table["content_key"].take(pa.array(rows)).to_pylist()
        order = np.lexsort((np.array(keys, dtype=object).astype(str), shares(source.seed, "cap", keys)))
        over[rows[order[source.cap :]]] = True
    return over


def repeats(table: pa.Table, train: Ints, config: PreprocessConfig) -> Ints:
    """How often an epoch shows each of the `train` rows: int64, parallel to `train`.

    Under weights, a source's rows shown are its weight's share of all that repeats alone would show; weights of sources
    without rows count nothing. Under `text_ratio`, only text-only rows are shown more or less often than before.

    Raises:
        RecipeError: `text_ratio` is set and there are no rows with images, or it is above 0 and there are none without.
    """
    chosen = table.select(["source", "content_key", "file_repeat", "image_keys"]).take(pa.array(train))
    sources = used_sources(config)
    index = {source.name: place for place, source in enumerate(sources)}
    places = np.array([index[name] for name in chosen["source"].to_pylist()], dtype=np.int64)
    rates = numbers(chosen["file_repeat"]) * np.array([source.repeat for source in sources])[places]
    rates = _weighted(rates, places, sources)
    bare = np.array([not keys for keys in chosen["image_keys"].to_pylist()], dtype=np.bool_)
    rates = _with_text_ratio(rates, bare, config.mixture.text_ratio)
    keys = np.array(chosen["content_key"].to_pylist(), dtype=object)
    shown = np.floor(rates)
    for place, source in enumerate(sources):
        rows = np.flatnonzero((places == place) & (rates > shown))
        shown[rows] += shares(source.seed, "repeat", keys[rows]) < (rates - shown)[rows]
    return shown.astype(np.int64)


def _weighted(rates: Rates, places: Ints, sources: list[SourceConfig]) -> Rates:
    if not sources or sources[0].weight is None:
        return rates
    shown = np.bincount(places, weights=rates, minlength=len(sources))
    weights = np.array([source.weight or 0.0 for source in sources]) * (shown > 0)
    if not weights.any():
        return rates
    wanted = shown.sum() * weights / weights.sum()
    factors = np.divide(wanted, shown, out=np.zeros(len(sources)), where=shown > 0)
    return np.asarray(rates * factors[places])


def _with_text_ratio(rates: Rates, bare: Bools, ratio: float | None) -> Rates:
    if ratio is None:
        return rates
    text, pictured = float(rates[bare].sum()), float(rates[~bare].sum())
    if pictured == 0 or (text == 0 and ratio > 0):
        kind = "with images" if pictured == 0 else "of text only"
        raise RecipeError(f"mixture.text_ratio={ratio}, but no Comparison {kind} is left to train on: unset it")
    return np.where(bare, rates * (ratio * pictured / text if text else 0.0), rates)
