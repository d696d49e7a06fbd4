"""`basereward sweep`: many trainings as one study.

sweep       the command: prepare -> run -> report -> publish
prepare     axes -> trials (points x seeds) -> shared: recipe and folders of each trial; what several trials read
            planned: GPUs, hours and cost of each trial
run         search: the next trial, listed or picked by Optuna -> tune: the adapter to Ray Tune
            -> trial, trial_work: one training and its evaluation -> point: the numbers of a finished trial
            placement: which trial may take free workers; progress: states, written and shown meanwhile
report      results: the finished trials, read from the folder -> page, plots and table
            paper_section: a table of the paper beside the sweep's numbers
publish     results in the terminal, and the state of the sweep's MLflow run
folder      all files of a sweep, which a resumed one reads; trial_files: those of a running trial

Ray Tune and Ray Train read the environment when they are imported: it is set here, before any module.
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
