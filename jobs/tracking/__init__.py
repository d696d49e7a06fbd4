"""MLflow: one run a training, sweep, evaluation or ensemble, written so that restarts and outages leave no mark.

tracker         one run: made or taken up, its models, its end
run_writer      what is written to it; run_header: its description and source
metric_logger   points of metrics from world rank 0, through outages; node_metrics: how busy each node is
store           reads the runs of an experiment; artifacts: finds a run and reads its files
runs, ui        `basereward runs`, `basereward ui`
"""
