# What a node does at its first boot. Ray reads a template's user data from AWS, where it is encoded, and encodes it again:
# most machines then do nothing with it. So the text is an output too, and a launcher's file says it beside the template.

locals {
  agent = {
    for group in concat(["head"], keys(var.worker_groups)) : group => jsonencode({
      agent = { metrics_collection_interval = 60 }
      metrics = {
        namespace              = var.metrics_namespace
        aggregation_dimensions = [["Group"]]
        metrics_collected = merge({
          disk = {
            measurement       = ["used_percent"]
            resources         = group == "head" ? ["/"] : ["/", local.cache_dir]
            drop_device       = true
            append_dimensions = { Group = group }
          }
          mem = { measurement = ["used_percent"], append_dimensions = { Group = group } }
          }, try(var.worker_groups[group].gpus_per_node, 0) == 0 ? {} : {
          nvidia_gpu = {
            measurement       = ["utilization_gpu", "memory_used", "temperature_gpu"]
            append_dimensions = { Group = group }
          }
        })
      }
      logs = {
        logs_collected = { files = { collect_list = [
          { file_path = "/var/log/cloud-init-output.log", log_group_name = var.log_group, log_stream_name = "{instance_id}/boot" },
          { file_path = "/tmp/ray/session_latest/logs/monitor*", log_group_name = var.log_group, log_stream_name = "{instance_id}/ray-monitor" },
          { file_path = "/tmp/ray/session_latest/logs/raylet*", log_group_name = var.log_group, log_stream_name = "{instance_id}/raylet" },
        ] } }
      }
    })
  }

  first_boot = {
    for group in concat(["head"], keys(var.worker_groups)) : group => templatefile("${path.module}/user_data.sh.tftpl", {
      agent     = local.agent[group]
      cache_dir = local.cache_dir
      raid      = group == "head" ? false : var.worker_groups[group].cache == "instance_store"
    })
  }
}
