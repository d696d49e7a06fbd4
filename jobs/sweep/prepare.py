"""Before the trials of a sweep run: which there are, each with its recipe and its state; the sweep's own MLflow run."""

from dataclasses import dataclass, replace

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute, remove_drafts
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.addresses import check_address
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.recipe.sweep_config import check_sweep_config
from jobs.sweep.axes import axes_of
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.planned import show_plan, show_search
from jobs.sweep.progress import sweep_page
from jobs.sweep.search import Search
from jobs.sweep.shared import TrialRecipes, Variants
from jobs.sweep.trials import TrialSpec, expand, fits
from jobs.tracking.tracker import Tracker
from jobs.train.state import claim_output

__all__ = ["Sweep", "prepare", "show", "start_tracking", "write_state"]


@dataclass(kw_only=True)
class Sweep:
    """One sweep: its trials, their recipes and states."""

    recipe: Recipe
    trial_recipes: TrialRecipes

    def __post_init__(self) -> None:
        self.folder = self.trial_recipes.folder
        self.states: dict[str, TrialState] = {}
        self.recipes: dict[str, Recipe] = {}
        self.search: Search | None = None

    def plan(self, known: dict[str, TrialState]) -> None:
        """Which trials there are, each with a checked recipe.

        Args:
            known: what the folder has of an earlier run.

        Raises:
            RecipeError: an axis or a trial's recipe is wrong.
        """
        config = self.recipe.sweep
        if config.method == "search":
            axes = axes_of(config.parameters, search=True)
            specs = [one.spec for one in known.values() if one.spec.seed == config.seeds[0] and fits(axes, one.spec)]
            self.search = Search(axes=axes, seed=config.seeds[0], mode=config.mode)
            self.search.left = max(0, config.num_samples - len(specs))
        else:
            specs = expand(config)
        for spec in specs:
            self.add(spec, known.get(spec.id))
        if self.search is not None:
            self.search.known |= {spec.id: spec for spec in specs}
            numbers = {spec.id: self.folder.numbers_of(spec.id) for spec in specs}
            self.search.values = {id_: one[config.metric] for id_, one in numbers.items() if config.metric in one}

    def add(self, spec: TrialSpec, known: TrialState | None = None) -> None:
        """One more trial."""
        recipe = self.trial_recipes.recipe_of(spec)
        if recipe.evaluate.split is None or recipe.evaluate.rewards is not None or recipe.evaluate.judge.url:
            raise RecipeError(
                "a sweep measures each trial's model on a split, so evaluate.split=null, evaluate.rewards and "
                "evaluate.judge mean nothing in it: leave them out; evaluate.suites may stand beside the split"
            )
        self.recipes[spec.id] = recipe
        self.states[spec.id] = TrialState(spec=spec) if known is None else replace(known, spec=spec)

    def begin(self, spec: TrialSpec) -> None:
        """What an earlier run said of a trial that runs now is over."""
        self.states[spec.id] = replace(self.states[spec.id], state="pending", reason="")
        self.folder.write_state(self.states[spec.id])

    def to_do(self) -> list[TrialSpec]:
        """Trials that are to run: stopped ones stay so as long as there is early stopping."""
        over = {"finished"} if self.recipe.sweep.stop_early is None else {"finished", "stopped"}
        return [state.spec for state in self.states.values() if state.state not in over]

    def check_finished(self) -> None:
        """Refuse finished trials whose recipe has changed since: their points would stand beside others.

        Raises:
            RecipeError: names the first difference.
        """
        for state in self.states.values():
            if state.state != "finished":
                continue
            recipe = self.recipes[state.spec.id]
            config = with_absolute_paths(recipe.train, "model", "data", "output", "cache_dir")
            manifest = Manifest.read(manifest_of(recipe, config.data))
            try:
                claim_output(config, manifest.fingerprint)
            except RecipeError as error:
                raise RecipeError(
                    f"trial {state.spec.name!r} finished with other settings: {error}; or choose another sweep.output"
                ) from error


def prepare(recipe: Recipe, variants: Variants) -> Sweep:
    """The sweep of `recipe`, checked, with what its folder has of an earlier run.

    Args:
        variants: makes the recipe with other settings.

    Raises:
        UserError: the sweep, or the recipe of one of its trials, is wrong.
    """
    check_address(recipe.tracking.uri)
    check_sweep_config(recipe.sweep)
    folder = SweepFolder(absolute(recipe.sweep.output))
    sweep = Sweep(recipe=recipe, trial_recipes=TrialRecipes(base=recipe, variants=variants, folder=folder))
    sweep.plan(folder.states())
    return sweep


def show(sweep: Sweep) -> None:
    """The plan for the terminal."""
    if sweep.search is not None:
        show_search(sweep.recipe, sweep.search.axes, list(sweep.states.values()))
    else:
        show_plan(sweep.recipe, sweep.recipes, list(sweep.states.values()))


def make_tracker(sweep: Sweep) -> Tracker:
    """The sweep's own MLflow run: made by the first attempt, taken up by later ones."""
    recipe = sweep.recipe
    return Tracker(recipe.tracking, run_dir=sweep.folder.url, run_name=f"sweep {recipe.name}")


def start_tracking(sweep: Sweep, tracker: Tracker) -> None:
    """What the run says of the sweep before its trials."""
    remove_drafts(sweep.folder.url)
    tracker.log_recipe(sweep.recipe, "sweep", {"sweep": sweep.recipe.name})
    write_state(sweep, tracker)


def write_state(sweep: Sweep, tracker: Tracker) -> None:
    """Write what the sweep is and has to its folder and its MLflow run."""
    states = list(sweep.states.values())
    sweep.folder.write_sweep(sweep.recipe, [state.spec for state in states], tracker.run_id)
    tracker.write_page(sweep_page(sweep.recipe, sweep.folder, states), {})
