output "role_arns" {
  description = "Roles: head, worker, submitter, operator, mlflow, mlflow-starter."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
  depends_on  = [aws_iam_role_policy_attachment.this]
}

output "instance_profile_arns" {
  description = "Instance profiles of head and worker."
  value       = { for name, profile in aws_iam_instance_profile.this : name => profile.arn }
}
