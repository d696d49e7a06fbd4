"""What Ray Tune and Ray Train read from the environment when they are imported; import this first."""

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
