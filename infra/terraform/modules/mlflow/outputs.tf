output "tracking_uri" {
  description = "What MLFLOW_TRACKING_URI is."
  value       = "https://${var.settings.host_name}"
}

output "database_identifier" {
  description = "The database instance, for alarms."
  value       = aws_db_instance.this.identifier
}

output "database_secret_arn" {
  description = "The secret with the database's user and password."
  value       = local.database_secret
}

output "balancer_suffix" {
  description = "The load balancer, as its metrics name it."
  value       = aws_lb.this.arn_suffix
}

output "target_group_suffix" {
  description = "The servers behind it, as metrics name them."
  value       = aws_lb_target_group.this.arn_suffix
}
