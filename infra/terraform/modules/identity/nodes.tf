# What every node may do, and the data of jobs.

locals {
  read_ray_token = [
    {
      Sid      = "RayToken"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = [var.secret_arns["ray-token"]]
    },
    {
      Sid       = "OpenTheToken"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [var.kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
    },
  ]

  node = [
    {
      Sid      = "PullImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
      Resource = [var.repository_arns["train"]]
    },
    {
      # AWS knows no resource for this action; it gives a login, and the statement above says for what.
      Sid       = "LogInToTheRegistry"
      Effect    = "Allow"
      Action    = ["ecr:GetAuthorizationToken"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
      Resource = ["${local.logs}/nodes", "${local.logs}/nodes:*"]
    },
    {
      # No resource either; the namespace is the bound.
      Sid       = "WriteMetrics"
      Effect    = "Allow"
      Action    = ["cloudwatch:PutMetricData"]
      Resource  = "*"
      Condition = { StringEquals = { "cloudwatch:namespace" = var.metrics_namespace } }
    },
  ]

  # Raw data is read only, but for what `fetch` adds below one prefix. Shards and checkpoints replace and clear away their own; artifacts are added, never removed.
  data = [
    {
      Sid      = "ListBuckets"
      Effect   = "Allow"
      Action   = ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"]
      Resource = [for kind in ["raw", "shards", "checkpoints", "artifacts"] : var.bucket_arns[kind]]
    },
    {
      Sid      = "Read"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [for kind in ["raw", "shards", "checkpoints", "artifacts"] : "${var.bucket_arns[kind]}/*"]
    },
    {
      Sid      = "Write"
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      Resource = [for kind in ["shards", "checkpoints", "artifacts"] : "${var.bucket_arns[kind]}/*"]
    },
    {
      Sid      = "Fetch"
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      Resource = ["${var.bucket_arns["raw"]}/fetched/*"]
    },
    {
      Sid      = "ClearAway"
      Effect   = "Allow"
      Action   = ["s3:DeleteObject"]
      Resource = [for kind in ["shards", "checkpoints"] : "${var.bucket_arns[kind]}/*"]
    },
    local.data_key,
  ]

  data_key = {
    Sid       = "DataKey"
    Effect    = "Allow"
    Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
    Resource  = [var.kms_key_arn]
    Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
  }
}
