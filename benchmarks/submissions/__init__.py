"""Submissions and status calls a second that one head of Ray answers: all in `__main__`."""
