"""MLflow: one run a training, sweep, evaluation or ensemble, written so that restarts and outages leave no mark.

tracker         one run: params, tags, files, its end
metric_logger   points of metrics from world rank 0, through outages; node_metrics: how busy each node is
page, plots, description     what a person reads on the run's page
store, artifacts, runs, ui   reading runs, their list in the terminal, MLflow's own pages
source_version  the commit that ran
"""
