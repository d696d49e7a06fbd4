"""`basereward submit` and `basereward jobs`: a command as a job of a cluster.

submit            the command: check the recipe -> one zip of code and recipe -> a submission
send_and_follow   send it, print its log, end with its exit code; submit it again if it was interrupted
commands          jobs list, status, logs, stop, retry
"""
