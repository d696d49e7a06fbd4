"""`basereward submit` and `basereward jobs`: a command as a job of a cluster.

submit            the command: recipe checked here -> one zip of code and recipe -> a submission
send_and_follow   send it; its log here, its exit code ours, and again where it was interrupted
commands          jobs list, status, logs, stop, retry
"""
