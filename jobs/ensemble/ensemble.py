"""`basereward ensemble`: several reward models as one registered model version.

    prepare   members (folders, runs, versions) -> checked, pinned
    run       rewards of held-out Comparisons, each member once -> fitted on one part, judged on the other -> a model
    publish   report -> an MLflow run, one pyfunc model version, alias candidate

The same members, data and settings again do nothing; others make a new version.
"""

from data_pipeline.storage import join
from jobs.ensemble.prepare import prepare, registered
from jobs.ensemble.publish import publish, remember, show
from jobs.ensemble.run import put_together, write_model
from jobs.recipe.schema import Recipe
from jobs.runtime.leases import writes
from jobs.runtime.terminal import say
from rm_core.model_folder.remote import draft_of

__all__ = ["run"]


@writes("ensemble.output")
def run(recipe: Recipe) -> None:
    """Fit, judge, report and register `recipe.ensemble`.

    Raises:
        UserError: a setting is wrong, or a member or the data is not there.
        RunError: the members can't be put together, a scoring process died, or MLflow can't be reached.
    """
    task = prepare(recipe)
    if (known := registered(task)) is not None:
        say(f"{task.recipe.ensemble.output} is finished already, as {known.address}: nothing to do")
        return
    fitted = put_together(task)
    with draft_of(join(task.recipe.ensemble.output, "model")) as folder:
        write_model(task, fitted, folder)
        version = publish(task, fitted, folder)
    remember(task, version)
    show(task.recipe, fitted, version)
