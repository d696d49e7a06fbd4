resource "aws_db_subnet_group" "this" {
  name        = "${var.name}-mlflow"
  description = "Private subnets"
  subnet_ids  = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-mlflow"
  description = "TLS only"
  family      = "postgres${split(".", var.database.engine_version)[0]}"
  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = "1000" # milliseconds: what takes longer is in the log
  }
}

# RDS would make this group itself, unencrypted and kept for ever.
resource "aws_cloudwatch_log_group" "database" {
  name              = "/aws/rds/instance/${var.name}-mlflow/postgresql"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

# AWS makes the password, keeps it in Secrets Manager and changes it every week; the state never has it.
resource "aws_db_instance" "this" {
  identifier                      = "${var.name}-mlflow"
  engine                          = "postgres"
  engine_version                  = var.database.engine_version
  auto_minor_version_upgrade      = true
  instance_class                  = var.database.instance_class
  allocated_storage               = var.database.storage_gb
  max_allocated_storage           = var.database.max_storage_gb
  storage_type                    = "gp3"
  storage_encrypted               = true
  kms_key_id                      = var.kms_key_arn
  db_name                         = "mlflow"
  username                        = "mlflow"
  manage_master_user_password     = true
  master_user_secret_kms_key_id   = var.kms_key_arn
  db_subnet_group_name            = aws_db_subnet_group.this.name
  vpc_security_group_ids          = [var.security_group_ids["database"]]
  parameter_group_name            = aws_db_parameter_group.this.name
  multi_az                        = var.database.multi_az
  publicly_accessible             = false
  backup_retention_period         = var.database.backup_days
  copy_tags_to_snapshot           = true
  deletion_protection             = var.protect
  skip_final_snapshot             = !var.protect
  final_snapshot_identifier       = var.protect ? "${var.name}-mlflow-last" : null
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  enabled_cloudwatch_logs_exports = ["postgresql"]
  depends_on                      = [aws_cloudwatch_log_group.database]
}
