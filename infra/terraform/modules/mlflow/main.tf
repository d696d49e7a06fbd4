data "aws_region" "this" {}

locals {
  port            = 5000
  database_secret = aws_db_instance.this.master_user_secret[0].secret_arn
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-mlflow"
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-mlflow"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.settings.cpu
  memory                   = var.settings.memory_mb
  task_role_arn            = var.role_arns["mlflow"]
  execution_role_arn       = var.role_arns["mlflow-starter"]

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode([{
    name                   = "mlflow"
    image                  = var.image
    essential              = true
    user                   = "10001"
    readonlyRootFilesystem = true
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    portMappings           = [{ containerPort = local.port, hostPort = local.port, protocol = "tcp" }]
    environment = [
      { name = "ALLOWED_HOSTS", value = "${var.settings.host_name},${var.settings.host_name}:8443" }, # the port of the tunnel,
      { name = "ARTIFACTS", value = "s3://${var.artifacts_bucket}/mlflow" },
      { name = "AWS_DEFAULT_REGION", value = data.aws_region.this.name },
      { name = "DB_HOST", value = aws_db_instance.this.address },
      { name = "DB_NAME", value = aws_db_instance.this.db_name },
      { name = "WORKERS", value = tostring(var.settings.workers) },
    ]
    secrets = [
      { name = "ADMIN_NAME", valueFrom = "${var.secret_arns["mlflow-admin"]}:username::" },
      { name = "ADMIN_PASSWORD", valueFrom = "${var.secret_arns["mlflow-admin"]}:password::" },
      { name = "DB_PASSWORD", valueFrom = "${local.database_secret}:password::" },
      { name = "DB_USER", valueFrom = "${local.database_secret}:username::" },
      { name = "SESSION_KEY", valueFrom = var.secret_arns["mlflow-sessions"] },
    ]
    # Also asks the database with the password of the start: after a change of password the task is replaced by one that has the new one.
    healthCheck = {
      command     = ["CMD", "python", "/srv/serve.py", "check"]
      interval    = 60
      timeout     = 20
      retries     = 3
      startPeriod = 180
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = var.log_group
        "awslogs-region"        = data.aws_region.this.name
        "awslogs-stream-prefix" = "server"
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  name                               = "mlflow"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.settings.servers
  launch_type                        = "FARGATE"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  health_check_grace_period_seconds  = 180
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_ids["mlflow"]]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "mlflow"
    container_port   = local.port
  }

  depends_on = [aws_lb_listener.https]
}
