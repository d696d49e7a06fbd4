# Machines for Ray's own launcher: one template for the head, one for each way of buying a worker group.

locals {
  cache_dir = "/mnt/cache"

  # "a100-spot" => {group, purchase, ...}: Ray tries them in the order of `purchase`.
  templates = merge([
    for group, it in var.worker_groups : {
      for purchase in it.purchase : "${group}-${replace(purchase, "_", "-")}" => merge(it, { group = group, purchase = purchase })
    }
  ]...)
  types = toset(concat([var.head.instance_type], [for it in var.worker_groups : it.instance_type]))
  ami   = data.aws_ami.this

  market = { spot = "spot", capacity_block = "capacity-block" }
}

# The newest image is taken at the time of an apply, for head and workers together.
data "aws_ssm_parameter" "ami" {
  count = var.ami_id == null ? 1 : 0
  name  = var.ami_ssm_parameter
}

data "aws_ami" "this" {
  owners = ["amazon", "self"]
  filter {
    name   = "image-id"
    values = [var.ami_id == null ? nonsensitive(data.aws_ssm_parameter.ami[0].value) : var.ami_id]
  }
}

data "aws_ec2_instance_type" "this" {
  for_each      = local.types
  instance_type = each.key
}

data "aws_ec2_instance_type_offerings" "this" {
  location_type = "availability-zone"
  filter {
    name   = "location"
    values = [var.zone]
  }
  filter {
    name   = "instance-type"
    values = local.types
  }
}

# Close together: full bandwidth and the least delay between the nodes of a group.
resource "aws_placement_group" "this" {
  for_each = { for group, it in var.worker_groups : group => it if it.efa_interfaces > 0 }
  name     = "${var.name}-${each.key}"
  strategy = "cluster"
}
