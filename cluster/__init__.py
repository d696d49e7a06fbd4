"""Where things run. Knows neither data nor rewards.

`session.ray_session` gives a command its cluster, in this order:

1. an address given: check within seconds that something answers there, then connect; the packages of the caller
   travel along as `py_modules`, so that workers on other hosts import the same code;
2. no address: write a private token, start a cluster of this machine's CPUs and GPUs with the dashboard on 127.0.0.1;
3. at the end: disconnect, and stop only what step 2 started.

A job goes to a cluster from outside by its Jobs API::

    names of packages + recipe text -> package.pack -> one zip -> submission.Submission -> jobs_api.JobsApi.submit
    on the head: job_entry (pins, sealed variables) becomes the command; waiting.watch follows it, and reads its end

and a cluster comes from Terraform's outputs: ``outputs.read_outputs -> render.{ray_up,kuberay,slurm} -> launcher``.
`node_checks` looks at a node, `diagnosis` says what is wrong with it. `auth` knows where tokens are, `sealing` what
they keep secret.
"""
