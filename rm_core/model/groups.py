"""The groups of weights that a recipe may train, freeze, or give a rate of their own."""

__all__ = ["GROUPS"]

GROUPS = ("vision", "merger", "language", "embeddings", "head")
