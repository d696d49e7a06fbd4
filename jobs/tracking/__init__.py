"""MLflow: one run a training, sweep, evaluation or ensemble, which restarts and outages do not disturb.

tracker         one run: created or resumed, its models, its end
run_writer      writes to the run: description, source, numbers, files
metric_logger   points of metrics from world rank 0, through outages; node_metrics: how busy each node is
answers         whether a server answers at all
store           reads the runs of an experiment, finds one, and reads its files
runs, ui        `basereward runs`, `basereward ui`
"""
