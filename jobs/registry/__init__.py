"""Models as files and as versions of MLflow's registry.

init_model      a backbone with random weights
served_model    what `mlflow.pyfunc` loads: one model or an ensemble
registry        versions, aliases and lineage; commands: `basereward models list|register`
promote         the gate between candidate and champion
"""
