output "ami_id" {
  description = "The machine image of head and workers."
  value       = local.ami.id
}

output "instance_types" {
  description = "Instance types of head and workers."
  value       = local.types
}

output "head" {
  description = "What the head is, and its launch template."
  value = {
    instance_type  = var.head.instance_type
    cpus           = data.aws_ec2_instance_type.this[var.head.instance_type].default_vcpus
    memory_gb      = floor(data.aws_ec2_instance_type.this[var.head.instance_type].memory_size / 1024)
    price_per_hour = var.head.price_per_hour
    user_data      = local.first_boot["head"]
    launch_template = {
      id      = aws_launch_template.head.id
      name    = aws_launch_template.head.name
      version = tostring(aws_launch_template.head.latest_version)
    }
  }
}

output "worker_groups" {
  description = "What each worker group is, and its launch templates in the order in which they should be tried."
  value = {
    for group, it in var.worker_groups : group => {
      instance_type   = it.instance_type
      cpus            = data.aws_ec2_instance_type.this[it.instance_type].default_vcpus
      memory_gb       = floor(data.aws_ec2_instance_type.this[it.instance_type].memory_size / 1024)
      gpu_type        = it.gpu_type
      gpus_per_node   = it.gpus_per_node
      gpu_memory_gb   = it.gpus_per_node == 0 ? 0 : floor(data.aws_ec2_instance_type.this[it.instance_type].total_gpu_memory / 1024 / it.gpus_per_node)
      user_data       = local.first_boot[group]
      min_nodes       = it.min_nodes
      max_nodes       = it.max_nodes
      efa_interfaces  = it.efa_interfaces
      cache_dir       = it.cache == "instance_store" ? local.cache_dir : null
      placement_group = try(aws_placement_group.this[group].name, null)
      launch_templates = [
        for purchase in it.purchase : {
          purchase       = purchase
          id             = aws_launch_template.worker["${group}-${replace(purchase, "_", "-")}"].id
          name           = aws_launch_template.worker["${group}-${replace(purchase, "_", "-")}"].name
          version        = tostring(aws_launch_template.worker["${group}-${replace(purchase, "_", "-")}"].latest_version)
          price_per_hour = purchase == "spot" ? it.spot_price_per_hour : it.price_per_hour
        }
      ]
    }
  }
}
