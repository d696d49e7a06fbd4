"""`basereward submit` and `basereward jobs`: a verb as a job of a cluster.

submit -> sending (one submission) -> following (its log, its end, and again) ; commands: list, logs, stop, retry
"""
