"""Objectives: rewards of a packed row -> (loss sum, count), in float32, never divided here."""
