"""What a recipe says.

schema         one dataclass of all settings, and how it is shown: YAML, parameters of MLflow
sweep_config   its section `sweep`
load           file + bases + overrides -> checked Recipe
packaged/      our recipes
"""
