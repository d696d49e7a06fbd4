"""Raw records to shards on the recipe's cluster, and looking at what came of it.

preprocess    Recipe -> data_pipeline.pipeline.run_pipeline, its workers a cluster's; the tables a user sees
ray_workers   input files and work units as Ray tasks, with a progress line
unit_log      what a worker process does for one unit: the unit, and a log of where and how
manifests     Recipe -> which manifest of a folder it means: what later commands train on
inspect       `data show`, `data diff` and `data verify`
"""
