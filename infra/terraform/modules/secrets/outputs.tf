output "arns" {
  description = "ARNs of the secrets: ray-token, mlflow-admin, mlflow-sessions."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}
