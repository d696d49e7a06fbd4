"""Power laws through the points of a sweep: loss = a * x^-b, and loss = c + a * x^-b with a floor.

x is a number of parameters, Comparisons or FLOPs; the loss is a log-loss or an error, 1 - accuracy. Sources of the
forms: J. Kaplan et al., arXiv 2001.08361 (without a floor); J. Hoffmann et al., arXiv 2203.15556 (with one).

For a given exponent b both forms are linear in a and c, so the least squares of relative residuals are found over a
grid of exponents, finer around the best: no starting point, the same result every time, and all draws of the bootstrap
at once. Intervals: relative residuals are drawn again, widened for the numbers they were fitted with, and the spread
of the refitted numbers by Student's t for as few points (B. Efron and R. Tibshirani, An Introduction to the Bootstrap,
chapter 9). Where the points say nothing the answer is a `NoFit` with the reason, not a number.

    >>> found = fit_power_law([1e6, 1e7, 1e8, 1e9], [2.0, 1.0, 0.5, 0.25])
    >>> round(found.exponent.value, 4), round(found.factor(10), 4)
    (0.301, 0.5)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import f, norm, t

__all__ = ["Estimate", "NoFit", "PowerLaw", "fit_power_law"]

Floats = npt.NDArray[np.float64]

MIN_SIZES = 3
_LEAST, _MOST = 1e-3, 5.0  # of exponents that are told from none and from a step
_GRID = 64
_ZOOMS = 5
_MAX_LOST = 0.05


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A fitted number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class NoFit:
    """No law, and why not, in words."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """loss = floor + scale * (x / centre)^-exponent."""

    exponent: Estimate
    """b, above 0."""
    scale: Estimate
    """The loss at `centre`, above the floor; a of the formula is `scale.value` * `centre` ** b."""
    floor: Estimate | None
    """c, the loss that no x takes away; None in the form without one."""
    centre: float
    """Geometric mean of the x: a far from the points would have no interval worth its name."""
    residuals: tuple[float, ...]
    """Of each given point, relative: 0.02 lies 2 % above the law."""
    misfit: float | None
    """Chance of means that lie so far from the law if only seeds scattered (lack-of-fit F test); None where no x has
    two points. A small one says that the points bend in another way."""
    score: float
    """Akaike's criterion with the correction for few points; of two forms the lower one is the better bargain."""
    draws: Floats
    """[S, 3] exponent, scale and floor of each draw of the bootstrap, spread as the intervals are."""
    confidence: float

    def at(self, x: float) -> float:
        """The loss that the law says."""
        floor = self.floor.value if self.floor else 0.0
        return floor + self.scale.value * float((x / self.centre) ** -self.exponent.value)

    def band(self, x: float) -> tuple[float, float]:
        """Where the law itself may run at x; single runs scatter around it."""
        exponents, scales, floors = self.draws.T
        found = floors + scales * (x / self.centre) ** -exponents
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(found, [tail, 1 - tail])
        return float(low), float(high)

    def factor(self, times: float) -> float:
        """What `times` as much x multiplies the loss above the floor by."""
        return float(times**-self.exponent.value)

    @property
    def is_clear(self) -> bool:
        """Whether the loss falls by more than the scatter of the points."""
        return self.exponent.low > _LEAST


def fit_power_law(
    x: Sequence[float],
    loss: Sequence[float],
    *,
    floor: bool = False,
    name: str = "x",
    confidence: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> PowerLaw | NoFit:
    """Fit one of the two forms to points [n], one a trained model.

    Args:
        x: above 0; several points of one x are seeds.
        loss: of the same points.
        floor: fit the floor too.
        name: what x is, for the words of a refusal.
        confidence: of the intervals, between 0 and 1.
        samples: draws of the bootstrap.
        seed: of the draws.

    Raises:
        ValueError: x and loss have different lengths, or a number that can have no logarithm or is not finite.
    """
    xs, losses = np.asarray(x, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if xs.shape != losses.shape or not (np.isfinite(xs).all() and np.isfinite(losses).all() and (xs > 0).all()):
        raise ValueError(f"x and loss need as many finite numbers, x above 0: {list(x)}, {list(loss)}")
    if reason := _refusal(xs, losses, floor, name):
        return NoFit(reason=reason)
    order = np.lexsort((losses, xs))  # the same draws in whatever order the points come
    centre = float(np.exp(np.log(xs).mean()))
    logs, sorted_losses = np.log(xs[order] / centre), losses[order]
    best = _solve(logs, sorted_losses[None], floor)[0]
    if reason := _degenerate(best, floor, name):
        return NoFit(reason=reason)
    draws = _bootstrap(logs, sorted_losses, best, floor, samples, seed)
    lost = float(np.mean((draws[:, 0] >= _MOST) | (draws[:, 1] <= 0)))
    if floor and lost > _MAX_LOST:
        share = f"{100 * lost:.0f} % of the draws"
        return NoFit(reason=f"the points don't tell a floor from a small exponent: {share} have no law with a floor")
    free = len(xs) - (3 if floor else 2)
    spread = best + (draws - best) * (t.ppf((1 + confidence) / 2, free) / norm.ppf((1 + confidence) / 2))
    spread = np.maximum(spread, [-np.inf, 0.0, 0.0])
    predicted = _predict(logs, best)
    residuals = np.empty(len(xs))
    residuals[order] = sorted_losses / predicted - 1
    estimates = [_estimate(best[column], spread[:, column], confidence) for column in range(3)]
    return PowerLaw(
        exponent=estimates[0],
        scale=estimates[1],
        floor=estimates[2] if floor else None,
        centre=centre,
        residuals=tuple(residuals.tolist()),
        misfit=_misfit(logs, sorted_losses, predicted, 3 if floor else 2),
        score=_score(sorted_losses / predicted - 1, 3 if floor else 2),
        draws=spread,
        confidence=confidence,
    )


def _refusal(xs: Floats, losses: Floats, floor: bool, name: str) -> str:
    """Why these points can't have a law, before anything is computed."""
    sizes, wanted = len(np.unique(xs)), MIN_SIZES + floor
    if sizes < wanted:
        form = "a law with a floor" if floor else "a law"
        return f"{sizes} distinct {'value' if sizes == 1 else 'values'} of {name}: {form} needs {wanted} or more"
    if (losses <= 0).any():
        return f"a loss of {losses.min():g}: nothing is left that could fall with {name}"
    slope = np.polyfit(np.log(xs), np.log(losses), 1)[0]
    if slope >= 0:
        return f"no decrease with {name}: {math.e:.3g} times as much goes with {math.exp(slope):.3g} times the loss"
    return ""


def _degenerate(best: Floats, floor: bool, name: str) -> str:
    """Why the best numbers found are no law."""
    exponent, scale, least = best
    if abs(exponent) <= _LEAST or scale <= 0:
        return f"no decrease with {name} that can be told from none"
    if floor and exponent >= _MOST * 0.99:
        return f"the loss falls once and then stays: no exponent describes a step in {name}"
    if floor and least <= _LEAST * scale:
        return "no floor is seen: the best one is 0"
    return ""


def _solve(logs: Floats, losses: Floats, floor: bool) -> Floats:
    """Exponent, scale and floor [S, 3] with the least relative squares, for losses [S, n] at logs [n]."""
    if not floor:
        # Logarithms of losses are relative residuals too, and give the exponent in closed form.
        targets = np.log(losses)
        slopes = (targets @ logs) / (logs @ logs)  # the logs have mean 0
        return np.stack([-slopes, np.exp(targets.mean(axis=1)), np.zeros(len(losses))], axis=1)
    low = np.full(len(losses), math.log(_LEAST))
    high = np.full(len(losses), math.log(_MOST))
    best = np.zeros((len(losses), 3))
    for _ in range(_ZOOMS):
        grid = np.linspace(low, high, _GRID, axis=1)  # [S, G] logarithms of exponents
        found = _linear(logs, losses, np.exp(grid))  # [S, G, 3]: scale, floor, squares
        rows, where = np.arange(len(losses)), found[..., 2].argmin(axis=1)
        best = np.stack([np.exp(grid[rows, where]), found[rows, where, 0], found[rows, where, 1]], axis=1)
        low, high = grid[rows, np.maximum(where - 1, 0)], grid[rows, np.minimum(where + 1, _GRID - 1)]
    return best


def _linear(logs: Floats, losses: Floats, exponents: Floats) -> Floats:
    """Scale, floor (at least 0) and squares [S, G, 3] for exponents [S, G]: 1 = (floor + scale * u) / loss."""
    shares = np.exp(-exponents[..., None] * logs) / losses[:, None]  # [S, G, n]
    ones = np.broadcast_to(1 / losses[:, None], shares.shape)
    uu, uv, vv = (shares * shares).sum(-1), (shares * ones).sum(-1), (ones * ones).sum(-1)
    u1, v1 = shares.sum(-1), ones.sum(-1)
    determinant = np.maximum(uu * vv - uv * uv, 1e-300)
    floors = np.maximum((uu * v1 - uv * u1) / determinant, 0.0)
    scales = np.maximum((u1 - floors * uv) / uu, 0.0)
    floors = np.where(scales > 0, floors, v1 / vv)
    squares = ((scales[..., None] * shares + floors[..., None] * ones - 1) ** 2).sum(-1)
    return np.stack([scales, floors, squares], axis=-1)


def _predict(logs: Floats, law: Floats) -> Floats:
    return np.asarray(law[2] + law[1] * np.exp(-law[0] * logs))


def _bootstrap(logs: Floats, losses: Floats, best: Floats, floor: bool, samples: int, seed: int) -> Floats:
    """The law refitted to its own values with residuals drawn again: [samples, 3]."""
    predicted = _predict(logs, best)
    residuals = np.log(losses / predicted)
    residuals = (residuals - residuals.mean()) * math.sqrt(len(logs) / (len(logs) - (3 if floor else 2)))
    drawn = np.random.default_rng(seed).choice(residuals, size=(samples, len(logs)))
    return _solve(logs, predicted * np.exp(drawn), floor)


def _estimate(value: float, draws: Floats, confidence: float) -> Estimate:
    """Percentiles of the draws; the value lies inside them."""
    tail = (1 - confidence) / 2
    low, high = (float(end) for end in np.quantile(draws, [tail, 1 - tail]))
    return Estimate(value=float(value), low=min(low, float(value)), high=max(high, float(value)))


def _score(residuals: Floats, fitted: int) -> float:
    """Akaike's criterion with the correction of C. Hurvich and C. Tsai, Biometrika 76 (1989); the noise counts too."""
    n, k = len(residuals), fitted + 1
    squares = max(float(residuals @ residuals), 1e-300)
    return n * math.log(squares / n) + 2 * k + (2 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf)


def _misfit(logs: Floats, losses: Floats, predicted: Floats, fitted: int) -> float | None:
    """P value of the F test: spread of the means around the law over spread of the seeds around their means."""
    residuals = np.log(losses / predicted)
    _, where, counts = np.unique(logs, return_inverse=True, return_counts=True)
    sizes, within = len(counts), len(logs) - len(counts)
    if within == 0 or sizes <= fitted:
        return None
    means = np.bincount(where, weights=residuals) / counts
    between = float((counts * means**2).sum()) / (sizes - fitted)
    noise = float(((residuals - means[where]) ** 2).sum()) / within
    return float(f.sf(between / noise, sizes - fitted, within)) if noise > 0 else None
