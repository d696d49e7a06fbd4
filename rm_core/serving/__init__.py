"""A registered model: one member or an ensemble, scored the same way for every caller.

``ensemble.json`` -> `served_model.ServedModel`   which members there are, where they lie, how they are combined
rows of a table   -> `served_scorer`              Comparisons -> one `Scorer` a member -> one reward a response
"""
