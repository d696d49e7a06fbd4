"""`basereward sweep`: many trainings as one study; `sweep` is the command.

    axes -> trials (points x seeds) -> trial_recipes (recipe and folders of each; shared data and models, made once)
      -> state (what is to do), planned (GPUs, hours, cost) -> search (Optuna) -> tune (the adapter to Ray Tune)
      -> trial, trial_work (one training each) -> point (its numbers) -> results
      -> report, paper_section and paper_table (the paper's table beside ours)

`folder` and `trial_files` are what a resumed sweep reads, `placement` is who looks for room, `progress` what is shown
meanwhile. Ray Tune and Ray Train read the environment when they are imported: it is set here, before any module.
"""

import logging
import os

__all__ = ["TRIAL_ENV"]

TRIAL_ENV = {"RAY_TRAIN_V2_ENABLED": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}
"""Of the processes of trials too."""

_ENV = {
    **TRIAL_ENV,
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that waits for room has no loss yet
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command line's
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}

for _name, _value in _ENV.items():
    os.environ.setdefault(_name, _value)
logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # errors of trials are in their logs
