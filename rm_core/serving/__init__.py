"""Rewards for whoever asks (evaluation, the command line, an RL trainer): all go through `scorer.Scorer`."""
