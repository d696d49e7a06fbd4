"""The reward model: a folder on disk -> backbone + head -> one float32 reward per response.

`shapes` names the sizes, `config` the head, `initialise` writes a random-weight folder, `backbone` loads a folder,
`attention` keeps Comparisons (and responses of one Comparison) apart inside a packed row, `head` reads rewards,
`reward_model` puts them together and `folder` saves and reloads the whole.
"""
