resource "aws_launch_template" "worker" {
  for_each               = local.templates
  name                   = "${var.name}-${each.key}"
  description            = "Workers of ${each.value.group}, bought as ${each.value.purchase}"
  image_id               = local.ami.id
  instance_type          = each.value.instance_type
  key_name               = var.key_name
  ebs_optimized          = true
  update_default_version = true
  vpc_security_group_ids = each.value.efa_interfaces > 0 ? null : [var.security_group_id]
  user_data              = base64encode(local.first_boot[each.value.group])
  tags                   = { Cluster = var.name }

  instance_initiated_shutdown_behavior = "terminate" # a node that was shut down is not paid for

  iam_instance_profile {
    arn = var.instance_profile_arns["worker"]
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
      volume_size           = each.value.disk_gb
      iops                  = 6000
      throughput            = 500 # MiB a second
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  # One a network card. The first carries IP too; the others are EFA alone and take no address of the subnet.
  # Ray's launcher wants the subnet in each; a template for a node group must leave it out.
  dynamic "network_interfaces" {
    for_each = range(each.value.efa_interfaces)
    content {
      network_card_index          = network_interfaces.value
      device_index                = network_interfaces.value == 0 ? 0 : 1
      interface_type              = network_interfaces.value == 0 ? "efa" : "efa-only"
      subnet_id                   = var.subnet_id
      security_groups             = [var.security_group_id]
      associate_public_ip_address = false
      delete_on_termination       = true
    }
  }

  dynamic "placement" {
    for_each = each.value.efa_interfaces > 0 ? [aws_placement_group.this[each.value.group].name] : []
    content {
      group_name = placement.value
    }
  }

  dynamic "instance_market_options" {
    for_each = contains(keys(local.market), each.value.purchase) ? [local.market[each.value.purchase]] : []
    content {
      market_type = instance_market_options.value
      dynamic "spot_options" {
        for_each = instance_market_options.value == "spot" ? [1] : []
        content {
          spot_instance_type             = "one-time" # Ray asks again itself
          instance_interruption_behavior = "terminate"
        }
      }
    }
  }

  dynamic "capacity_reservation_specification" {
    for_each = each.value.capacity_reservation_id != null && each.value.purchase != "spot" ? [each.value.capacity_reservation_id] : []
    content {
      capacity_reservation_target {
        capacity_reservation_id = capacity_reservation_specification.value
      }
    }
  }

  monitoring {
    enabled = true
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, tag_specifications.value == "instance" ? {} : { Name = "${var.name}-${each.value.group}" }) # Ray names an instance
    }
  }

  lifecycle {
    precondition {
      condition     = each.value.efa_interfaces == 0 || data.aws_ec2_instance_type.this[each.value.instance_type].efa_supported
      error_message = "${each.value.group}: ${each.value.instance_type} has no EFA: set efa_interfaces = 0 or another type."
    }
    precondition {
      condition     = each.value.efa_interfaces <= data.aws_ec2_instance_type.this[each.value.instance_type].maximum_network_cards
      error_message = "${each.value.group}: efa_interfaces = ${each.value.efa_interfaces}, and ${each.value.instance_type} has ${data.aws_ec2_instance_type.this[each.value.instance_type].maximum_network_cards} network cards."
    }
    precondition {
      condition     = each.value.gpus_per_node == sum(concat([0], [for gpu in coalesce(data.aws_ec2_instance_type.this[each.value.instance_type].gpus, []) : gpu.count]))
      error_message = "${each.value.group}: gpus_per_node = ${each.value.gpus_per_node} is not what ${each.value.instance_type} has: Ray would count GPUs that are not there, or leave some idle."
    }
    precondition {
      condition     = each.value.cache != "instance_store" || data.aws_ec2_instance_type.this[each.value.instance_type].instance_storage_supported
      error_message = "${each.value.group}: ${each.value.instance_type} has no instance store: set cache = \"none\" or another type."
    }
    precondition {
      condition     = contains(data.aws_ec2_instance_type.this[each.value.instance_type].supported_architectures, local.ami.architecture)
      error_message = "${each.value.group}: the machine image is for ${local.ami.architecture}, which ${each.value.instance_type} is not."
    }
    precondition {
      condition     = contains(data.aws_ec2_instance_type_offerings.this.instance_types, each.value.instance_type)
      error_message = "${each.value.group}: ${each.value.instance_type} is not offered in ${var.zone}: set zone or another type."
    }
  }
}
