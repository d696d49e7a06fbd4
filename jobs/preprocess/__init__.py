"""Raw records to shards on the recipe's cluster, and reports on prepared data.

preprocess    Recipe -> data_pipeline.pipeline.run_pipeline, on a cluster's workers; tables in the terminal
ray_workers   input files and work units as Ray tasks, with a progress line
unit_log      runs one unit in a worker process, and logs where it ran and how long it took
manifests     Recipe -> which manifest of a folder it means: what later commands train on
inspect       `data show`, `data diff` and `data verify`
"""
