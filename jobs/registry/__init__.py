"""Models as versions of MLflow's registry.

registry        the only module that imports MLflow's registry: versions, aliases, files and lineage
pyfunc_model    what `mlflow.pyfunc` loads: one model or an ensemble
commands        `basereward models list|register`
"""
