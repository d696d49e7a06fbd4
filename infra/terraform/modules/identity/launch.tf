# What Ray's autoscaler on the head needs to add and remove workers, and an operator to start a head.
# Every launch is bound: by tag, type, image, subnet, group, encrypted disk, IMDSv2. Every end: by tag.

locals {
  cluster_tag = { "aws:RequestTag/ray-cluster-name" = var.name }
  our_tag     = { "aws:ResourceTag/ray-cluster-name" = var.name }

  launch = [
    {
      # Describe calls know no resources.
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "ec2:DescribeInstances", "ec2:DescribeInstanceStatus", "ec2:DescribeInstanceTypes", "ec2:DescribeImages", "ec2:DescribeKeyPairs",
        "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs", "ec2:DescribeVolumes", "ec2:DescribePlacementGroups",
        "ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions",
      ]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid      = "LaunchOurs"
      Effect   = "Allow"
      Action   = ["ec2:RunInstances"]
      Resource = ["${local.ec2}:instance/*"]
      Condition = {
        StringEquals = merge(local.cluster_tag, { "ec2:MetadataHttpTokens" = "required", "ec2:InstanceType" = var.instance_types })
      }
    },
    {
      Sid    = "LaunchHere"
      Effect = "Allow"
      Action = ["ec2:RunInstances"]
      Resource = concat([
        "${local.ec2}:subnet/${var.subnet_id}", "${local.ec2}:security-group/${var.security_group_id}",
        "arn:${local.partition}:ec2:${local.region}::image/${var.ami_id}", "${local.ec2}:placement-group/${var.name}-*",
        "arn:${local.partition}:ec2:${local.region}::snapshot/*", "${local.ec2}:spot-instances-request/*", "${local.ec2}:capacity-reservation/*",
      ], var.key_name == null ? [] : ["${local.ec2}:key-pair/${var.key_name}"])
    },
    {
      Sid       = "LaunchByOurTemplates"
      Effect    = "Allow"
      Action    = ["ec2:RunInstances"]
      Resource  = ["${local.ec2}:launch-template/*"]
      Condition = { StringEquals = { "aws:ResourceTag/Cluster" = var.name } }
    },
    {
      Sid       = "LaunchInterfaces"
      Effect    = "Allow"
      Action    = ["ec2:RunInstances"]
      Resource  = ["${local.ec2}:network-interface/*"]
      Condition = { ArnEquals = { "ec2:Subnet" = "${local.ec2}:subnet/${var.subnet_id}" } }
    },
    {
      Sid       = "LaunchEncryptedDisks"
      Effect    = "Allow"
      Action    = ["ec2:RunInstances"]
      Resource  = ["${local.ec2}:volume/*"]
      Condition = { Bool = { "ec2:Encrypted" = "true" } }
    },
    {
      Sid       = "TagAtLaunch"
      Effect    = "Allow"
      Action    = ["ec2:CreateTags"]
      Resource  = [for kind in ["instance", "volume", "network-interface"] : "${local.ec2}:${kind}/*"]
      Condition = { StringEquals = { "ec2:CreateAction" = "RunInstances" } }
    },
    {
      Sid       = "TagAndEndOurs"
      Effect    = "Allow"
      Action    = ["ec2:CreateTags", "ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances"]
      Resource  = ["${local.ec2}:instance/*"]
      Condition = { StringEquals = local.our_tag }
    },
    {
      Sid       = "HandOverTheWorkersRole"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = ["arn:${local.partition}:iam::${local.account_id}:role/${var.name}-worker"]
      Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
    },
    {
      Sid       = "EncryptDisks"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
      Resource  = [var.kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "ec2.${local.region}.amazonaws.com" } }
    },
    {
      # An instance opens its disks itself; nobody else is given the key.
      Sid      = "LendTheKeyToInstances"
      Effect   = "Allow"
      Action   = ["kms:CreateGrant"]
      Resource = [var.kms_key_arn]
      Condition = {
        StringEquals = { "kms:ViaService" = "ec2.${local.region}.amazonaws.com" }
        Bool         = { "kms:GrantIsForAWSResource" = "true" }
      }
    },
  ]

  start_head = [
    {
      Sid       = "HandOverTheHeadsRole"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = ["arn:${local.partition}:iam::${local.account_id}:role/${var.name}-head"]
      Condition = { StringEquals = { "iam:PassedToService" = "ec2.amazonaws.com" } }
    },
    {
      Sid      = "CheckProfiles"
      Effect   = "Allow"
      Action   = ["iam:GetInstanceProfile"]
      Resource = ["arn:${local.partition}:iam::${local.account_id}:instance-profile/${var.name}-*"]
    },
  ]
}
