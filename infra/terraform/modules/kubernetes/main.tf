data "aws_partition" "this" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_eks_cluster" "this" {
  name                          = var.name
  version                       = var.settings.version
  role_arn                      = aws_iam_role.this["control"].arn
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  bootstrap_self_managed_addons = false # they would be in the way of the add-ons below

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  vpc_config {
    subnet_ids              = var.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = false
  }

  encryption_config {
    resources = ["secrets"]
    provider {
      key_arn = var.kms_key_arn
    }
  }

  depends_on = [aws_iam_role_policy_attachment.this, aws_cloudwatch_log_group.this]
}

# Without these no node is ever ready.
resource "aws_eks_addon" "before_nodes" {
  for_each     = toset(["vpc-cni", "kube-proxy", "eks-pod-identity-agent"])
  cluster_name = aws_eks_cluster.this.name
  addon_name   = each.key
}

# This one needs a node to run on.
resource "aws_eks_addon" "coredns" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "coredns"
  depends_on   = [aws_eks_node_group.system]
}

# Pods of this service account have the workers' role, and no key is written anywhere.
resource "aws_eks_pod_identity_association" "this" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = var.settings.namespace
  service_account = var.settings.service_account
  role_arn        = var.worker_role_arn
}
