"""`basereward train`: prepared shards + a model folder -> a trained, tracked, exported reward model.

    prepare   check recipe, data and model -> claim the output folder -> one MLflow run
    run       Ray Train groups until the model is exported; each worker runs `rm_core.training.worker.train_rank`, with
              the driver's coordinator and MLflow handed in as hooks
    publish   the exported model, metrics and page -> MLflow

A finished training is left as it is; a killed one goes on from its last checkpoint, in the same MLflow run.
"""

from functools import partial

from jobs.recipe.schema import Recipe
from jobs.runtime.ends import told_of_the_end
from jobs.runtime.leases import writes
from jobs.runtime.terminal import say
from jobs.train.prepare import ParentJob, prepare
from jobs.train.publish import publish, publish_failure
from jobs.train.run import run_groups

__all__ = ["run"]


@writes("train.output")
def run(recipe: Recipe, parent: ParentJob | None = None) -> None:
    """Train `recipe.train` into its output folder.

    Args:
        parent: the larger job that this training is part of; None: there is none.

    Raises:
        UserError: a recipe value, the data or the model folder is wrong, or the cluster is too small.
        RunError: the training failed, more often than `train.group` allows.
    """
    training = prepare(recipe, parent)
    if training is None:
        say(f"{recipe.train.output} is finished already: nothing to do")
        return
    try:
        with told_of_the_end(partial(publish_failure, training)):
            run_groups(training)
        publish(training)
    except BaseException as error:
        publish_failure(training, error)
        raise
