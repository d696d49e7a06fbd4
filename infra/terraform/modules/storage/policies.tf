locals {
  tls_only = {
    for kind, arn in merge(local.bucket_arns, { logs = local.logs_arn }) : kind => {
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [arn, "${arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }

  log_delivery = [
    {
      Sid       = "AccessLogsOfBuckets"
      Effect    = "Allow"
      Principal = { Service = "logging.s3.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.logs_arn}/s3/*"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    },
    {
      Sid       = "AccessLogsOfTheLoadBalancer"
      Effect    = "Allow"
      Principal = { Service = "logdelivery.elasticloadbalancing.amazonaws.com" }
      Action    = "s3:PutObject"
      Resource  = "${local.logs_arn}/alb/AWSLogs/${local.account_id}/*"
    },
  ]

  # In a key's policy "*" as the resource means this key.
  key_policy = {
    Version = "2012-10-17"
    Statement = concat([
      {
        Sid       = "TheAccountDecidesByIam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroups"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = [
          for prefix in ["/${var.name}", "/aws/eks/${var.name}", "/aws/rds/instance/${var.name}-mlflow"] :
          "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:${prefix}/*"
        ] } }
      },
      {
        Sid       = "AlarmsToTheirTopic"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
      },
      ], var.node_disks ? [{
        # An auto scaling group's service role has no IAM policy that could be given the key; it need not exist yet.
        Sid       = "DisksOfNodeGroups"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:CreateGrant", "kms:DescribeKey"]
        Resource  = "*"
        Condition = { StringEquals = { "kms:CallerAccount" = local.account_id, "kms:ViaService" = "ec2.${local.region}.amazonaws.com" } }
    }] : [])
  }
}
