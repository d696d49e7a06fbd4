"""Recipes: their settings, and how a recipe file is read.

schema         one dataclass of all settings, and how it is shown: YAML, parameters of MLflow
sweep_config   its section `sweep`
load           file + bases + overrides -> checked Recipe
packaged/      the recipes that come with the package
"""
