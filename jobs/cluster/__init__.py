"""`basereward cluster`: a cluster's files, its life, and what is wrong with it.

verbs (the command line) -> files (from Terraform's outputs) -> life (up, status, down) ; doctor, allreduce_probe
"""
