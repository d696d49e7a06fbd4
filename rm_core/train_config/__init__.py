"""What a recipe may say about training, checked before a cluster is asked for, and the parameter groups that follow."""
