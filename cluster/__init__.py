"""Where things run: on this machine, on a cluster that is there, or as a job sent to one. Knows no data and no rewards.

session      a command's Ray cluster: connect to an address, or start one here and stop it at the end
capacity     nodes of the open cluster, the room on them, and asking an autoscaler for more
package      names of packages + recipe text -> one zip, with the same bytes for the same content
submission   that zip and a command -> a job of a cluster, sent, followed and read from outside
account      which steps from an empty AWS account to a head that answers are missing
quotas       how many vCPUs AWS lets the account run, and whether its nodes fit
aws          asking AWS by this machine's credentials
render       Terraform's outputs -> files of a launcher: Ray's own on EC2, KubeRay, Slurm
nodes        on one node: facts -> what is wrong and the cure; fetching the cluster's token
auth         where the cluster's token is kept
errors       the exceptions of all of them
"""
