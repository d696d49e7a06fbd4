"""One node of a cluster.

checks       facts of a node, gathered on it
diagnosis    facts of all nodes -> what is wrong, and the cure
token        how a node of a rendered cluster fetches the cluster's token
"""
