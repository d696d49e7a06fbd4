"""A command as a job of a cluster, sent from outside by Ray's Jobs API.

here          sealing: variables; package: code -> job.Submission -> jobs_api.JobsApi.submit
on the head   job_entry checks versions, opens the variables and becomes the command
here          waiting.watch follows the job, and returns how it ended
"""
