# Who submits jobs, and the MLflow server.

locals {
  # Code goes up, results come down. No raw data, no deletion, no instances.
  submit = [
    {
      Sid      = "ListResults"
      Effect   = "Allow"
      Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
      Resource = [var.bucket_arns["shards"], var.bucket_arns["checkpoints"], var.bucket_arns["artifacts"]]
    },
    {
      Sid      = "ReadResults"
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = [for kind in ["shards", "checkpoints", "artifacts"] : "${var.bucket_arns[kind]}/*"]
    },
    {
      Sid      = "SendCode"
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      Resource = ["${var.bucket_arns["artifacts"]}/submissions/*"]
    },
    local.data_key,
    {
      Sid    = "PushAndPullImages"
      Effect = "Allow"
      Action = [
        "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability", "ecr:DescribeImages",
        "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage",
      ]
      Resource = [var.repository_arns["train"]]
    },
    {
      # AWS knows no resource for this action.
      Sid       = "LogInToTheRegistry"
      Effect    = "Allow"
      Action    = ["ecr:GetAuthorizationToken"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid      = "ReadLogs"
      Effect   = "Allow"
      Action   = ["logs:DescribeLogStreams", "logs:GetLogEvents", "logs:FilterLogEvents"]
      Resource = ["${local.logs}/nodes", "${local.logs}/nodes:*"]
    },
  ]

  # Artifacts pass through the server (clients need no rights of their own), below one prefix; `mlflow gc` removes them.
  mlflow = [
    {
      Sid       = "ListArtifacts"
      Effect    = "Allow"
      Action    = ["s3:ListBucket"]
      Resource  = [var.bucket_arns["artifacts"]]
      Condition = { StringLike = { "s3:prefix" = ["mlflow", "mlflow/*"] } }
    },
    {
      Sid      = "Artifacts"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
      Resource = ["${var.bucket_arns["artifacts"]}/mlflow/*"]
    },
    local.data_key,
  ]

  # What the container service does before the server runs: pull the image, put secrets into its environment, open its log.
  mlflow_starter = [
    {
      Sid      = "PullTheImage"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
      Resource = [var.repository_arns["mlflow"]]
    },
    {
      # AWS knows no resource for this action.
      Sid       = "LogInToTheRegistry"
      Effect    = "Allow"
      Action    = ["ecr:GetAuthorizationToken"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
    },
    {
      Sid      = "Secrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = [var.secret_arns["mlflow-admin"], var.secret_arns["mlflow-sessions"], var.database_secret_arn]
    },
    {
      Sid       = "OpenSecrets"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [var.kms_key_arn]
      Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.amazonaws.com" } }
    },
    {
      Sid      = "WriteLogs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${local.logs}/mlflow:*"]
    },
  ]
}
