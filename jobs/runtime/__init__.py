"""What every command needs while it runs: a Ray session, what a person sees, termination, which code this is."""
