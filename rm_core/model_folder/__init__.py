"""A model as a folder, local or on s3: complete or absent, and found to score as the trained engine did.

initialise (random weights) | folder.save -> weight_files -> model.json (last)   remote: to and from an object store
folder.load_reward_model <- verify, fixture: does the folder hold the model that was trained?
"""
