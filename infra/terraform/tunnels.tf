# Commands that a shell runs as they are (`eval`): the head's id and address are looked up each time, since the launcher makes it.

locals {
  head_filters = "Name=tag:ray-cluster-name,Values=${local.name} Name=tag:ray-node-type,Values=head Name=instance-state-name,Values=running"
  find_head    = "aws ec2 describe-instances --region ${var.region} --filters ${local.head_filters} --query 'Reservations[0].Instances[0].[InstanceId,PrivateIpAddress]' --output text"
  session      = "aws ssm start-session --region ${var.region}"
  forward      = "--document-name AWS-StartPortForwardingSessionToRemoteHost --parameters"

  tunnels = {
    find_head = local.find_head
    # Ray's dashboard listens on the head's address, not on its loopback.
    dashboard = "HEAD=$(${local.find_head}) && ${local.session} --target \"$${HEAD%%[[:space:]]*}\" ${local.forward} \"host=$${HEAD##*[[:space:]]},portNumber=8265,localPortNumber=8265\""
    mlflow    = "HEAD=$(${local.find_head}) && ${local.session} --target \"$${HEAD%%[[:space:]]*}\" ${local.forward} \"host=${var.mlflow.host_name},portNumber=443,localPortNumber=8443\""
    ssh_proxy = "${local.session} --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p" # as ssh's ProxyCommand; %h is an instance's id
  }
}
