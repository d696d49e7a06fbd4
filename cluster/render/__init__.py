"""Terraform's outputs as the files of a launcher; nothing in them is secret.

    read_outputs -> Outputs -> ray_up.render    one YAML for Ray's own launcher and autoscaler, on EC2
                            -> kuberay.render   RayCluster, RayJob, RayService, and Kueue's queues
                            -> slurm.render     one batch script around `ray symmetric-run`

Each renderer returns text by file name and has checked it: Ray's own validation, a schema, `bash -n`.
"""
