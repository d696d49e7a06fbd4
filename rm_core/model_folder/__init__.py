"""A model as a folder, local or on s3: complete or absent, and verified to score as the trained engine did.

`initialise`      a random-weight backbone with tokenizer and processor
`folder`          saves a reward model and loads it: config, `weight_files`, head, and last ``model.json``
`import_model`    another program's reward model as one of ours, its head found by `given_heads`
`fixture`         one packed row with the rewards that the trained engine gave it, kept beside the weights
`verify`          a fresh process scores that row from the folder, and rewards must agree
`reading`         how it reads records, compared with what it is given; `identity`: which weights it holds
`remote`          to and from an object store, read through local copies
"""
