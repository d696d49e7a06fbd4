"""Which kind of scorer a model needs: of its folder, and of what a recipe says about critiques and verdicts."""

from data_pipeline.errors import RecipeError
from rm_core.generation.config import CritiquesConfig, VerdictsConfig, check_critiques_config, check_verdicts_config
from rm_core.model_folder.paradigm import paradigm_of, reasons
from rm_core.model_folder.remote import local_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.critic import CriticScorer
from rm_core.scoring.judge import ReasoningScorer
from rm_core.scoring.scorer import Scorer
from rm_core.scoring.tournament import TournamentScorer

__all__ = ["check_writing", "scorer_of", "verdicts_read", "writes"]


def writes(folder: str, critiques: CritiquesConfig) -> bool:
    """Whether the model in the local folder writes before it scores."""
    return critiques.source == "written" or reasons(folder)


def verdicts_read(folder: str, verdicts: VerdictsConfig) -> VerdictsConfig | None:
    """What the model in the local folder reads of settings that are for any model: a judge that reasons all of them,
    another one which pairs it is asked about; None: nothing, or nothing but the default.
    """
    if reasons(folder):
        return verdicts
    own = VerdictsConfig(pairs=verdicts.pairs)
    return own if paradigm_of(folder) == "generative" and own != VerdictsConfig() else None


def check_writing(
    folder: str, critiques: CritiquesConfig, verdicts: VerdictsConfig, *, name: str, section: str
) -> None:
    """Refuse settings of critiques and verdicts that cannot be meant, or that the model in `folder` does not read.

    Args:
        name: what messages call the model.
        section: of the recipe, ``evaluate`` or ``score``.

    Raises:
        RecipeError: names the key and the cure.
    """
    check_critiques_config(critiques, f"{section}.critiques")
    found = paradigm_of(folder)
    if critiques.source == "written" and found != "critic":
        raise RecipeError(
            f"{name} is a {found} reward model, which writes no critiques: leave {section}.critiques.source at given"
        )
    check_verdicts_config(verdicts, f"{section}.verdicts", judges=found == "generative", reasons=reasons(folder))


def scorer_of(
    folder: str,
    budget: PackBudget,
    critiques: CritiquesConfig,
    verdicts: VerdictsConfig,
    *,
    attention: str = "auto",
) -> Scorer | TournamentScorer | CriticScorer | ReasoningScorer:
    """What scores with the model of `folder`; `critiques` and `verdicts` are ones that `check_writing` lets pass.

    Raises:
        MissingInput, CorruptData, RecipeError: as `Scorer`.
    """
    copy = local_model(folder)
    if reasons(copy):
        return ReasoningScorer(copy, verdicts, budget.tokens)
    if critiques.source == "written":
        return CriticScorer(folder, budget, critiques, attention=attention)
    scorer = Scorer(folder, budget, attention=attention)
    return TournamentScorer(scorer) if verdicts.pairs == "tournament" else scorer
