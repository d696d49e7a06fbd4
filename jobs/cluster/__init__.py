"""`basereward cluster`: a cluster's files, its life, and what is wrong with it; the work is in the package `cluster`.

render            Terraform's outputs -> files of a launcher
life              up, status, down
doctor            a task on every node looks at it; allreduce_probe: how fast the network between them is
"""
