"""`basereward cluster`: write a cluster's files, start, show, stop and check it; the package `cluster` does the work.

render            Terraform's outputs -> files of a launcher
life              up, status, down
steps             which steps of docs/cluster.md are missing
doctor            says those, and runs a task on every node that checks it
allreduce_probe   how fast the network between the nodes is
"""
