"""The order of a training, as a pure function of lengths, seed and step.

sizes, cost (planning columns) -> order (a keyed permutation) -> plan: steps -> first_fit, balance: packs for the
ranks there are; staged_plan puts several plans one after the other
"""
