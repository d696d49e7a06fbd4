"""What every command needs while it runs; nothing here knows what a command does.

ray_session   the recipe's Ray cluster for the length of a command, and a function mapped over items on it
termination   SIGTERM as an exception, or as a wish to stop after the next step
watcher       a function called again and again beside the work
terminal      lines, tables and progress bars for a person
"""

__all__ = ["PACKAGES"]

PACKAGES = ("data_pipeline", "rm_core", "cluster", "jobs")
"""All of this code: what workers on other hosts and submitted jobs get a copy of."""
