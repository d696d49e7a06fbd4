"""Whether an answer is the right one: pure functions of two texts."""

import re

from data_pipeline.errors import RecipeError
from rm_core.rl.config import RuleConfig

__all__ = ["Rule"]


class Rule:
    """Tells right answers from wrong ones.

        >>> Rule(RuleConfig(pattern=r"\\b([A-D])\\b")).matches("I take B. No, C.", "c")
        True
        >>> Rule(RuleConfig(pattern="red|blue", take="all")).matches("Left: red, right: blue.", "red blue")
        True

    Raises:
        RecipeError: the pattern is none, or has several groups.
    """

    def __init__(self, config: RuleConfig) -> None:
        self._config = config
        self._pattern: re.Pattern[str] | None = None
        if config.pattern is None:
            return
        try:
            self._pattern = re.compile(config.pattern, re.DOTALL)
        except re.error as error:
            raise RecipeError(f"rl.reward.rule.pattern={config.pattern!r} is no regular expression: {error}") from error
        if self._pattern.groups > 1:
            raise RecipeError(
                f"rl.reward.rule.pattern={config.pattern!r} has {self._pattern.groups} groups, and one says what "
                "counts: make the others (?:...)"
            )

    def matches(self, answer: str, reference: str) -> bool:
        """Whether `answer` says what `reference` does; one in which the pattern finds nothing never does."""
        found = self.found(answer)
        wanted = self.found(reference) if self._config.in_reference else _plain(reference)
        return found is not None and found == wanted

    def found(self, text: str) -> str | None:
        """What counts in a text, without regard to case; None where the pattern finds nothing."""
        if self._pattern is None:
            return _plain(text)
        places = [match[1] if match.re.groups else match[0] for match in self._pattern.finditer(text)]
        if not places:
            return None
        if self._config.take == "all":
            return " ".join(_plain(one or "") for one in places)
        return _plain((places[0] if self._config.take == "first" else places[-1]) or "")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()
