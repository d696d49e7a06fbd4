# Once an account, by hand, before all else: the bucket in which the states of all environments are kept and locked.
# Its own state is a local file; if that is lost, `terraform import` has everything back.

terraform {
  required_version = ">= 1.11.0, < 2.0.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100.0"
    }
  }
}

variable "project" {
  description = "First part of the bucket's name."
  type        = string
  default     = "basereward"
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "us-east-1"
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { Project = var.project, ManagedBy = "terraform" }
  }
}

data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  bucket = "${var.project}-terraform-${data.aws_caller_identity.this.account_id}"
  arn    = "arn:${data.aws_partition.this.partition}:s3:::${local.bucket}"
}

resource "aws_s3_bucket" "state" {
  #checkov:skip=CKV_AWS_18:access logs would need a second bucket; only Terraform comes here
  #checkov:skip=CKV2_AWS_61:old states are small, and kept
  bucket = local.bucket
  lifecycle {
    prevent_destroy = true
  }
}

# A state that was overwritten can be had back.
resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket                  = aws_s3_bucket.state.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "state" {
  bucket = aws_s3_bucket.state.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "state" {
  bucket = aws_s3_bucket.state.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.arn, "${local.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.state]
}

output "bucket" {
  description = "For environments/*.s3.tfbackend."
  value       = aws_s3_bucket.state.bucket
}
