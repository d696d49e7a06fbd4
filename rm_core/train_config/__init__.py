"""What a recipe may say about training, refused before a cluster is asked for, and what follows from it for weights.

recipe -> `config.TrainConfig`      with sections of its health, profile, group of workers; `weights`: groups, stages
       -> `asking`                  of a generative reward model, what it is asked about its data
       -> `check`                   RecipeError with key, value and cure for what cannot be
       -> `parameter_groups`        the optimiser's groups, and the learning rate of each at every step (pure)
"""
