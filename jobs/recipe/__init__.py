"""Recipes: their settings, and how a recipe file is read.

schema         one dataclass of all settings, and how it is shown: YAML, parameters of MLflow
sweep_config   its section `sweep`
suites, judge  what the section `evaluate` names, opened or checked
load           file + bases + overrides -> checked Recipe
packaged/      the recipes that come with the package
"""
