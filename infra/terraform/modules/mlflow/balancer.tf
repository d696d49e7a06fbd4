resource "aws_lb" "this" {
  name                       = "${var.name}-mlflow"
  internal                   = true
  load_balancer_type         = "application"
  security_groups            = [var.security_group_ids["balancer"]]
  subnets                    = var.subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.protect
  idle_timeout               = 300 # seconds: large artifacts

  access_logs {
    bucket  = var.logs_bucket
    prefix  = "alb"
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  name        = "${var.name}-mlflow"
  port        = local.port
  protocol    = "HTTP" # inside the network, between two security groups that let nobody else in
  target_type = "ip"
  vpc_id      = var.vpc_id

  health_check {
    path    = "/health"
    matcher = "200"
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.settings.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

# The name resolves inside the network only. The zone is the name itself, so that its neighbours stay as they are.
resource "aws_route53_zone" "this" {
  name    = var.settings.host_name
  comment = "${var.name}: MLflow"
  vpc {
    vpc_id = var.vpc_id
  }
  dynamic "vpc" {
    for_each = var.peer_vpc_id == null ? [] : [var.peer_vpc_id]
    content {
      vpc_id = vpc.value
    }
  }
}

resource "aws_route53_record" "this" {
  zone_id = aws_route53_zone.this.zone_id
  name    = var.settings.host_name
  type    = "A"
  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
