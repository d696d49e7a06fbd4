# The roles of Kubernetes itself. AWS writes their policies; what jobs may do is the workers' role, by pod identity.

locals {
  roles = {
    control = { service = "eks.amazonaws.com", policies = ["AmazonEKSClusterPolicy"] }
    node    = { service = "ec2.amazonaws.com", policies = ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"] }
  }
  attachments = merge([for role, it in local.roles : { for policy in it.policies : "${role} ${policy}" => { role = role, policy = policy } }]...)
}

resource "aws_iam_role" "this" {
  for_each = local.roles
  name     = "${var.name}-eks-${each.key}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = each.value.service }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each   = local.attachments
  role       = aws_iam_role.this[each.value.role].name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/${each.value.policy}"
}
