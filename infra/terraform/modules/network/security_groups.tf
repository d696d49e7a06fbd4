locals {
  groups = {
    cluster  = "Head and workers: everything among themselves, HTTPS out"
    balancer = "The load balancer before MLflow: HTTPS from the cluster and from people's private networks"
    mlflow   = "The MLflow server: from its load balancer only"
    database = "MLflow's database: from the MLflow server only"
  }
  # From people's private networks to the head. Ray's dashboard, jobs API and client ask for the token.
  access_ports = { ssh = 22, dashboard = 8265, client = 10001 }
  access = merge([
    for door, from in local.doors : { for name, port in local.access_ports : "${name} ${door}" => merge(from, { name = name, port = port }) }
  ]...)
}

resource "aws_security_group" "this" {
  for_each    = local.groups
  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-${each.key}" }
}

# EFA speaks a protocol of its own: a rule by address or port does not cover it, only "all protocols, to and from the same group".
resource "aws_vpc_security_group_ingress_rule" "cluster_self" {
  security_group_id            = aws_security_group.this["cluster"].id
  referenced_security_group_id = aws_security_group.this["cluster"].id
  ip_protocol                  = "-1"
  description                  = "EFA and Ray among members"
}

resource "aws_vpc_security_group_egress_rule" "cluster_self" {
  security_group_id            = aws_security_group.this["cluster"].id
  referenced_security_group_id = aws_security_group.this["cluster"].id
  ip_protocol                  = "-1"
  description                  = "EFA and Ray among members"
}

resource "aws_vpc_security_group_ingress_rule" "access" {
  for_each                     = local.access
  security_group_id            = aws_security_group.this["cluster"].id
  cidr_ipv4                    = each.value.cidr
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = "${each.value.name} from a private network"
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = toset(["cluster", "mlflow"])
  security_group_id = aws_security_group.this[each.key].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  description       = "AWS APIs, images, packages"
}

resource "aws_vpc_security_group_ingress_rule" "balancer_cluster" {
  security_group_id            = aws_security_group.this["balancer"].id
  referenced_security_group_id = aws_security_group.this["cluster"].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "MLflow from head and workers"
}

resource "aws_vpc_security_group_ingress_rule" "balancer_access" {
  for_each                     = local.doors
  security_group_id            = aws_security_group.this["balancer"].id
  cidr_ipv4                    = each.value.cidr
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  description                  = "MLflow from a private network"
}

resource "aws_vpc_security_group_egress_rule" "balancer_mlflow" {
  security_group_id            = aws_security_group.this["balancer"].id
  referenced_security_group_id = aws_security_group.this["mlflow"].id
  ip_protocol                  = "tcp"
  from_port                    = 5000
  to_port                      = 5000
  description                  = "To the server"
}

resource "aws_vpc_security_group_ingress_rule" "mlflow_balancer" {
  security_group_id            = aws_security_group.this["mlflow"].id
  referenced_security_group_id = aws_security_group.this["balancer"].id
  ip_protocol                  = "tcp"
  from_port                    = 5000
  to_port                      = 5000
  description                  = "From the load balancer"
}

resource "aws_vpc_security_group_egress_rule" "mlflow_database" {
  security_group_id            = aws_security_group.this["mlflow"].id
  referenced_security_group_id = aws_security_group.this["database"].id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "To the database"
}

resource "aws_vpc_security_group_ingress_rule" "database_mlflow" {
  security_group_id            = aws_security_group.this["database"].id
  referenced_security_group_id = aws_security_group.this["mlflow"].id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  description                  = "From the MLflow server"
}
