# The values are drawn by Secrets Manager and written without passing through state or plan: ephemeral and write-only.

ephemeral "aws_secretsmanager_random_password" "this" {
  provider            = aws.draw
  for_each            = toset(var.draw ? ["ray-token", "mlflow-admin", "mlflow-sessions"] : [])
  password_length     = 48
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret" "this" {
  for_each = {
    ray-token       = "Ray's token: who has it may run code on the cluster"
    mlflow-admin    = "User name and password of MLflow's administrator"
    mlflow-sessions = "Signs the sessions of MLflow's pages"
  }
  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.protect ? 30 : 0
}

resource "aws_secretsmanager_secret_version" "ray_token" {
  count                    = var.draw ? 1 : 0
  secret_id                = aws_secretsmanager_secret.this["ray-token"].id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this["ray-token"].random_password
  secret_string_wo_version = var.generation
}

resource "aws_secretsmanager_secret_version" "mlflow_admin" {
  count     = var.draw ? 1 : 0
  secret_id = aws_secretsmanager_secret.this["mlflow-admin"].id
  secret_string_wo = jsonencode({
    username = "admin"
    password = ephemeral.aws_secretsmanager_random_password.this["mlflow-admin"].random_password
  })
  secret_string_wo_version = var.generation
}

resource "aws_secretsmanager_secret_version" "mlflow_sessions" {
  count                    = var.draw ? 1 : 0
  secret_id                = aws_secretsmanager_secret.this["mlflow-sessions"].id
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this["mlflow-sessions"].random_password
  secret_string_wo_version = var.generation
}
