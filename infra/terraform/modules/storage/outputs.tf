output "buckets" {
  description = "Names of the buckets, by what they hold."
  value       = { for kind, bucket in aws_s3_bucket.this : kind => bucket.bucket }
}

output "bucket_arns" {
  description = "ARNs of the buckets, by what they hold."
  value       = local.bucket_arns
}

output "logs_bucket" {
  description = "The bucket of access logs; it takes them once its policy is there."
  value       = aws_s3_bucket.logs.bucket
  depends_on  = [aws_s3_bucket_policy.logs, aws_s3_bucket_server_side_encryption_configuration.logs]
}

output "kms_key_arn" {
  description = "The key of buckets, disks, logs and secrets."
  value       = aws_kms_key.this.arn
}
