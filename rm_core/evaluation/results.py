"""What an evaluation found, as plain dataclasses that go to JSON unchanged."""

from dataclasses import asdict, dataclass
from typing import Any

from rm_core.evaluation.curves import CalibrationBin, Histogram, LengthBin
from rm_core.evaluation.intervals import Interval

__all__ = ["SCHEMA_VERSION", "Accuracy", "BestOfN", "BlankImages", "EvaluationReport", "Gain", "Group", "Share"]

SCHEMA_VERSION = 2
"""2: intervals draw groups of Comparisons; 1 took Comparisons as independent."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A proportion between 0 and 1 with its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A proportion less another of the same pairs, -1 to 1, with its interval: both are drawn together."""

    value: float
    interval: Interval

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not hold 0."""
        return not self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True, kw_only=True)
class Accuracy(Share):
    """Right pairs over ordered pairs. A pair is right where the better response has strictly the higher reward."""

    num_comparisons: int
    """Comparisons with at least one ordered pair."""
    num_groups: int
    """Groups of these Comparisons that share no image and no text-only prompt: what an interval draws."""
    num_pairs: int
    """Ordered pairs: those whose two labels differ."""
    right: int
    """Pairs ranked as the label ranks them."""
    tied_rewards: int
    """Pairs with two equal rewards; they are among `num_pairs` and not among `right`."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A set of Comparisons: all of them, one source, one K, or one modality."""

    accuracy: Accuracy
    length_only: Share
    """Accuracy of preferring the longer response; equal lengths count half."""
    over_length: Gain
    """`accuracy` less `length_only`."""
    top1: Share
    """Comparisons in which a best-ranked response has the highest reward (no tie with one ranked below)."""
    mean_margin: float
    """Mean over ordered pairs of the better response's reward minus the worse one's."""
    tied_labels: int
    """Pairs with equal ranks; they take part in no accuracy."""


@dataclass(frozen=True, kw_only=True)
class BlankImages:
    """The same Comparisons scored with their images and with mid-grey ones in their place."""

    real: Accuracy
    blank: Accuracy
    """Pairs that only the grey ones made equal, as answers that are pictures of one size, count half in `value`."""
    gain: float
    """Accuracy with the real images minus accuracy with blank ones."""
    gain_interval: Interval
    """Interval of `gain`, both scorings of a Comparison drawn together."""


@dataclass(frozen=True, kw_only=True)
class BestOfN:
    """How good the picks among n responses are: the share of all other responses that the label puts below them."""

    n: int
    """Responses that are picked from; 1: no choice, and 0.5."""
    model: Share
    """Of the response with the highest reward."""
    label: float
    """Of the best one by the label: no model can have more."""
    num_comparisons: int
    """Comparisons of this K with an order."""


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """All numbers of one evaluation. The groups in the three dicts are those that hold an ordered pair."""

    overall: Group
    by_source: dict[str, Group]
    """By the source's name."""
    by_num_responses: dict[str, Group]
    """By K as text: "2", "3", ..."""
    by_modality: dict[str, Group]
    """"image": Comparisons with an image; "text": those without."""
    blank_images: BlankImages | None
    """None where no Comparison was scored with blank images."""
    best_of_n: dict[str, tuple[BestOfN, ...]]
    """By K as text, for each K > 2 with an order: an entry for each n from 1 to K."""
    log_loss: float
    """Mean of -log sigmoid(margin) over the ordered pairs."""
    reward_length_spearman: float | None
    """Rank correlation of reward and length over all responses; None where either is constant."""
    num_comparisons: int
    """Comparisons given."""
    num_groups: int
    """Of them that share no image and no text-only prompt."""
    num_unordered: int
    """Of them, those whose labels all tie: they hold no ordered pair."""
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    """Mean distance of predicted from observed accuracy, 0 to 1."""
    margins: Histogram
    rewards_by_length: tuple[LengthBin, ...]
    confidence: float
    """Of every interval in the report."""
    bootstrap_samples: int
    """Draws an interval."""
    seed: int
    """Seed of the draws."""
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """The report as dicts, lists and numbers, ready for `json.dumps`."""
        return asdict(self)

    def numbers(self) -> dict[str, float]:
        """The main numbers under flat names for a tracker: accuracy, text_accuracy, source/NAME/accuracy, ..."""
        found = {
            "accuracy": self.overall.accuracy.value,
            "accuracy_low": self.overall.accuracy.interval.low,
            "accuracy_high": self.overall.accuracy.interval.high,
            "top1_accuracy": self.overall.top1.value,
            "length_only_accuracy": self.overall.length_only.value,
            "over_length": self.overall.over_length.value,
            "over_length_low": self.overall.over_length.interval.low,
            "over_length_high": self.overall.over_length.interval.high,
            "log_loss": self.log_loss,
            "mean_margin": self.overall.mean_margin,
            "calibration_error": self.calibration_error,
            "num_comparisons": float(self.num_comparisons),
            "num_groups": float(self.num_groups),
            "num_pairs": float(self.overall.accuracy.num_pairs),
        }
        found |= {f"{modality}_accuracy": group.accuracy.value for modality, group in self.by_modality.items()}
        found |= {f"source/{name}/accuracy": group.accuracy.value for name, group in self.by_source.items()}
        if self.blank_images is not None:
            found["blank_image_accuracy"] = self.blank_images.blank.value
        if self.reward_length_spearman is not None:
            found["reward_length_spearman"] = self.reward_length_spearman
        return found
