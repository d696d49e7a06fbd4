"""Rewards of held-out Comparisons (`evaluate`), of own records (`score`), and of two models side by side (`compare`).

All score by actors of `scoring_actors`: one a GPU, or one a CPU.
"""
