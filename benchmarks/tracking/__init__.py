"""Seconds that tracking a step takes the training thread.

`__main__` measures; `sides` has one turn of each: ours, `mlflow.log_metric`, Lightning's logger.
"""
