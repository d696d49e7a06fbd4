"""What may go wrong between a command and a cluster. Each message says what to change.

ClusterError
├── ClusterUnavailable     nothing answers there, or not with what was asked for
│   └── TokenRefused       it answers, and wants another token
├── StartFailed            no cluster could be started on this machine
├── Refused                what was asked for can't be done as it was asked
└── LauncherFailed         Ray's launcher, or a command of it, ended with an error
"""

__all__ = ["ClusterError", "ClusterUnavailable", "LauncherFailed", "Refused", "StartFailed", "TokenRefused"]


class ClusterError(Exception):
    """The root: catch this to catch everything this package raises on purpose."""


class ClusterUnavailable(ClusterError):
    """No Ray cluster can be had at the address asked for; the message says what to change."""


class TokenRefused(ClusterUnavailable):
    """A cluster answers and wants a token that this is not."""


class StartFailed(ClusterError):
    """Ray did not come up on this machine; the message has what it said."""


class Refused(ClusterError):
    """Something the caller can set right before anything runs."""


class LauncherFailed(ClusterError):
    """Ray's launcher could not do it; what it printed says why."""
