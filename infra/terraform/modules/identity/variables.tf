variable "name" {
  description = "Prefix of all names, and Ray's cluster name: head and operator touch instances tagged with it only."
  type        = string
}

variable "bucket_arns" {
  description = "ARNs of the buckets: raw, shards, checkpoints, artifacts."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "The key of buckets, disks and secrets."
  type        = string
}

variable "secret_arns" {
  description = "ARNs of the secrets: ray-token, mlflow-admin, mlflow-sessions."
  type        = map(string)
}

variable "database_secret_arn" {
  description = "The secret with the password of MLflow's database."
  type        = string
}

variable "repository_arns" {
  description = "ARNs of the image repositories: train, mlflow."
  type        = map(string)
}

variable "subnet_id" {
  description = "The only subnet in which head and operator may launch instances."
  type        = string
}

variable "security_group_id" {
  description = "The only security group that instances may be given."
  type        = string
}

variable "ami_id" {
  description = "The only machine image that may be launched."
  type        = string
}

variable "instance_types" {
  description = "Instance types of head and workers: no other is launched."
  type        = list(string)
}

variable "key_name" {
  description = "The SSH key pair that instances may be given, or null."
  type        = string
  nullable    = true
}

variable "submitter_principals" {
  description = "ARNs of who may become submitter. Empty: the account decides by IAM."
  type        = list(string)
}

variable "operator_principals" {
  description = "ARNs of who may become operator. Empty: the account decides by IAM."
  type        = list(string)
}

variable "pod_identity" {
  description = "Pods of the Kubernetes cluster may have the workers' role."
  type        = bool
}

variable "metrics_namespace" {
  description = "The only CloudWatch namespace that nodes may write."
  type        = string
}

variable "session_manager" {
  description = "People reach the head by tunnels of Session Manager."
  type        = bool
}
