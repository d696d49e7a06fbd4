"""`basereward fetch`: the files of a recipe's sources from the Hugging Face hub, or a mirror of it, to `data_root`.

sources --hub--> repositories: commit, licence, paths, sizes, checksums
        --wanted--> files of `data_root`, each of one file of the hub or of several joined
        --record--> which are there already
        --download--> the others, a few at once, by ranges, each checked before it gets its name
"""
