"""What every command needs while it runs; nothing here depends on the command.

ray_session   the recipe's Ray cluster for the length of a command, and a function mapped over items on it
termination   SIGTERM and Ctrl-C as exceptions, or as a request to stop after the next step
ends          errors as lines and exit codes; the end where the cluster's own processes die
terminal      lines, tables and progress bars for a person
"""

__all__ = ["PACKAGES"]

PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs")
"""All of this code: what workers on other hosts and submitted jobs get a copy of."""
