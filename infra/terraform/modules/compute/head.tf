resource "aws_launch_template" "head" {
  name                   = "${var.name}-head"
  description            = "Ray's head: no GPU, never spot"
  image_id               = local.ami.id
  instance_type          = var.head.instance_type
  key_name               = var.key_name
  ebs_optimized          = true
  update_default_version = true
  vpc_security_group_ids = [var.security_group_id]
  user_data              = base64encode(local.first_boot["head"])
  tags                   = { Cluster = var.name }

  iam_instance_profile {
    arn = var.instance_profile_arns["head"]
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2 # a container is one hop further
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = local.ami.root_device_name
    ebs {
      volume_type           = "gp3"
      volume_size           = var.head.disk_gb
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = true
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, tag_specifications.value == "instance" ? {} : { Name = "${var.name}-head" }) # Ray names an instance, and waits for one of that name
    }
  }

  lifecycle {
    precondition {
      condition     = length(coalesce(data.aws_ec2_instance_type.this[var.head.instance_type].gpus, [])) == 0
      error_message = "head.instance_type = ${var.head.instance_type} has GPUs, and the head runs no GPU work: they would be paid for and idle."
    }
    precondition {
      condition     = contains(data.aws_ec2_instance_type_offerings.this.instance_types, var.head.instance_type)
      error_message = "head.instance_type = ${var.head.instance_type} is not offered in ${var.zone}: set zone or another type."
    }
  }
}
