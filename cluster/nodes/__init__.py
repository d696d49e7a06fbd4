"""One node of a cluster, looked at: `checks` gathers facts on the node, `diagnosis` says what is wrong and the cure.

`token` is how a node of a rendered cluster fetches the cluster's token.
"""
