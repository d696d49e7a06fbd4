locals {
  db      = { DBInstanceIdentifier = var.database_identifier }
  servers = { LoadBalancer = var.balancer_suffix, TargetGroup = var.target_group_suffix }

  # {namespace, metric, statistic, compare, threshold, periods of 5 minutes, dimensions, text}
  alarms = merge(
    {
      for group, gpus in var.worker_groups : "gpu-idle-${group}" => {
        namespace = var.metrics_namespace, metric = "nvidia_smi_utilization_gpu", statistic = "Maximum", compare = "LessThanThreshold",
        threshold = 5, periods = ceil(var.idle_minutes / 5), dimensions = { Group = group },
        text      = "No GPU of ${group} has worked for ${var.idle_minutes} minutes, and they are paid for."
      } if gpus > 0
    },
    {
      for group in setunion(keys(var.worker_groups), ["head"]) : "disk-${group}" => {
        namespace = var.metrics_namespace, metric = "disk_used_percent", statistic = "Maximum", compare = "GreaterThanThreshold",
        threshold = 85, periods = 2, dimensions = { Group = group },
        text      = "A disk of ${group} is 85 % full."
      }
    },
    {
      database-cpu = {
        namespace = "AWS/RDS", metric = "CPUUtilization", statistic = "Average", compare = "GreaterThanThreshold",
        threshold = 80, periods = 3, dimensions = local.db, text = "MLflow's database computes at 80 % for 15 minutes."
      }
      database-storage = {
        namespace = "AWS/RDS", metric = "FreeStorageSpace", statistic = "Minimum", compare = "LessThanThreshold",
        threshold = var.database_storage_gb * 1073741824 * 0.1, periods = 1, dimensions = local.db,
        text      = "MLflow's database has a tenth of its first disk left."
      }
      database-memory = {
        namespace = "AWS/RDS", metric = "FreeableMemory", statistic = "Minimum", compare = "LessThanThreshold",
        threshold = 134217728, periods = 3, dimensions = local.db, text = "MLflow's database has 128 MiB of memory left."
      }
      mlflow-down = {
        namespace = "AWS/ApplicationELB", metric = "HealthyHostCount", statistic = "Minimum", compare = "LessThanThreshold",
        threshold = 1, periods = 2, dimensions = local.servers, text = "No MLflow server answers: runs keep their points, and wait."
      }
      mlflow-errors = {
        namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum", compare = "GreaterThanThreshold",
        threshold = 20, periods = 1, dimensions = local.servers, text = "MLflow failed to answer 20 times in 5 minutes."
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.text
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.compare
  dimensions          = each.value.dimensions
  # A group without nodes has no metrics, and that is the cheapest state; a server without metrics is down.
  treat_missing_data = each.key == "mlflow-down" ? "breaching" : "notBreaching"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}
