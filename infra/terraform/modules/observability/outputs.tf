output "log_groups" {
  description = "Log groups: nodes, mlflow."
  value       = { for kind, group in aws_cloudwatch_log_group.this : kind => group.name }
}

output "topic_arn" {
  description = "Where alarms go."
  value       = aws_sns_topic.alarms.arn
}
