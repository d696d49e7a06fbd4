locals {
  groups = merge([
    for group, it in var.worker_groups : {
      for purchase in it.purchase : "${group}-${replace(purchase, "_", "-")}" => merge(it, { group = group, purchase = purchase })
    }
  ]...)
  capacity = { spot = "SPOT", on_demand = "ON_DEMAND", capacity_block = "CAPACITY_BLOCK" }

  # The node joins the local disks itself; pods find them below /mnt/k8s-disks.
  node_config = <<-MIME
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="//"

    --//
    Content-Type: application/node.eks.aws

    apiVersion: node.eks.aws/v1alpha1
    kind: NodeConfig
    spec:
      instance:
        localStorage:
          strategy: RAID0

    --//--
  MIME
}

resource "aws_placement_group" "this" {
  for_each = { for group, it in var.worker_groups : group => it if it.efa_interfaces > 0 }
  name     = "${var.name}-eks-${each.key}"
  strategy = "cluster"
}

# Not the template of Ray's launcher: a node group chooses subnet, profile, image and purchase itself, and refuses a template that says them.
resource "aws_launch_template" "worker" {
  for_each               = local.groups
  name                   = "${var.name}-eks-${each.key}"
  description            = "Node group ${each.key}"
  update_default_version = true
  ebs_optimized          = true
  user_data              = each.value.cache == "instance_store" ? base64encode(local.node_config) : null
  vpc_security_group_ids = each.value.efa_interfaces > 0 ? null : local.node_groups_security

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # pods have an identity of their own
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.disk_gb
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  dynamic "network_interfaces" {
    for_each = range(each.value.efa_interfaces)
    content {
      network_card_index          = network_interfaces.value
      device_index                = network_interfaces.value == 0 ? 0 : 1
      interface_type              = network_interfaces.value == 0 ? "efa" : "efa-only"
      security_groups             = local.node_groups_security
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
    for_each = each.value.purchase == "capacity_block" ? ["capacity-block"] : []
    content {
      market_type = instance_market_options.value
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

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.name}-eks-${each.value.group}" })
    }
  }
}

locals {
  # A template with groups of its own has to name the cluster's too.
  node_groups_security = [var.security_group_id, aws_eks_cluster.this.vpc_config[0].cluster_security_group_id]
}

resource "aws_eks_node_group" "worker" {
  for_each        = local.groups
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.this["node"].arn
  subnet_ids      = [var.worker_subnet_id]
  ami_type        = each.value.gpus_per_node > 0 ? "AL2023_x86_64_NVIDIA" : "AL2023_x86_64_STANDARD"
  capacity_type   = local.capacity[each.value.purchase]
  instance_types  = [each.value.instance_type]
  labels = merge(
    { "basereward/group" = each.value.group, "basereward/purchase" = each.value.purchase },
    each.value.gpus_per_node > 0 ? { "nvidia.com/gpu.present" = "true" } : {}
  )

  launch_template {
    id      = aws_launch_template.worker[each.key].id
    version = aws_launch_template.worker[each.key].latest_version
  }

  scaling_config {
    min_size     = each.value.min_nodes
    desired_size = each.value.min_nodes
    max_size     = each.value.max_nodes
  }

  update_config {
    max_unavailable = 1
  }

  dynamic "taint" {
    for_each = each.value.gpus_per_node > 0 ? ["nvidia.com/gpu"] : []
    content {
      key    = taint.value
      value  = "present"
      effect = "NO_SCHEDULE"
    }
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # the autoscaler's
  }

  depends_on = [aws_iam_role_policy_attachment.this, aws_eks_addon.before_nodes]
}

# For the operators and Ray's head: no GPUs.
resource "aws_launch_template" "system" {
  name                   = "${var.name}-eks-system"
  description            = "Node group system"
  update_default_version = true
  vpc_security_group_ids = local.node_groups_security

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = 100
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.name}-eks-system" })
    }
  }
}

resource "aws_eks_node_group" "system" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "system"
  node_role_arn   = aws_iam_role.this["node"].arn
  subnet_ids      = var.subnet_ids
  ami_type        = "AL2023_x86_64_STANDARD"
  capacity_type   = "ON_DEMAND"
  instance_types  = [var.settings.system_instance_type]

  launch_template {
    id      = aws_launch_template.system.id
    version = aws_launch_template.system.latest_version
  }

  scaling_config {
    min_size     = 2
    desired_size = 2
    max_size     = 4
  }

  update_config {
    max_unavailable = 1
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_iam_role_policy_attachment.this, aws_eks_addon.before_nodes]
}
