data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}
data "aws_region" "this" {}

locals {
  partition  = data.aws_partition.this.partition
  region     = data.aws_region.this.name
  account_id = data.aws_caller_identity.this.account_id
  ec2        = "arn:${local.partition}:ec2:${local.region}:${local.account_id}"
  logs       = "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:/${var.name}"
  root       = "arn:${local.partition}:iam::${local.account_id}:root"

  people = {
    submitter = length(var.submitter_principals) > 0 ? var.submitter_principals : [local.root]
    operator  = length(var.operator_principals) > 0 ? var.operator_principals : [local.root]
  }

  trust = {
    head   = [local.trust_ec2]
    worker = concat([local.trust_ec2], var.pod_identity ? [local.trust_pods] : [])
    submitter = [{
      Effect    = "Allow"
      Principal = { AWS = local.people.submitter }
      Action    = "sts:AssumeRole"
    }]
    operator = [{
      Effect    = "Allow"
      Principal = { AWS = local.people.operator }
      Action    = "sts:AssumeRole"
    }]
    mlflow         = [local.trust_tasks]
    mlflow-starter = [local.trust_tasks]
  }

  # By the policy's name, each with its role. Two for the head: AWS takes 6,144 characters of one.
  policies = {
    # A job's entry point runs on the head, and plans and reports from there: it needs the data too.
    head           = { role = "head", statements = concat(local.node, local.data, local.read_ray_token, local.answer_sessions) }
    head-launch    = { role = "head", statements = local.launch }
    worker         = { role = "worker", statements = concat(local.node, local.data, local.read_ray_token) }
    submitter      = { role = "submitter", statements = concat(local.submit, local.read_ray_token, var.session_manager ? [local.find_head] : [], local.start_sessions.submitter) }
    operator       = { role = "operator", statements = concat(local.launch, local.start_head, local.read_ray_token, local.start_sessions.operator) }
    mlflow         = { role = "mlflow", statements = local.mlflow }
    mlflow-starter = { role = "mlflow-starter", statements = local.mlflow_starter }
  }
}

resource "aws_iam_role" "this" {
  for_each             = local.trust
  name                 = "${var.name}-${each.key}"
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = each.value })
  max_session_duration = 43200 # seconds: a working day
}

resource "aws_iam_policy" "this" {
  for_each    = local.policies
  name        = "${var.name}-${each.key}"
  description = "What the role ${each.value.role} may do"
  policy      = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each   = local.policies
  role       = aws_iam_role.this[each.value.role].name
  policy_arn = aws_iam_policy.this[each.key].arn
}

resource "aws_iam_instance_profile" "this" {
  for_each = toset(["head", "worker"])
  name     = "${var.name}-${each.key}"
  role     = aws_iam_role.this[each.key].name
}
