variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets in two zones or more."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups: balancer, mlflow, database."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "The key of database and its password."
  type        = string
}

variable "secret_arns" {
  description = "ARNs of the secrets: mlflow-admin, mlflow-sessions."
  type        = map(string)
}

variable "role_arns" {
  description = "Roles: mlflow (the server), mlflow-starter (what starts it)."
  type        = map(string)
}

variable "image" {
  description = "The server's image with its tag: made from image/ in this folder."
  type        = string
}

variable "artifacts_bucket" {
  description = "The bucket of artifacts; the server writes below mlflow/."
  type        = string
}

variable "logs_bucket" {
  description = "The bucket of access logs."
  type        = string
}

variable "log_group" {
  description = "Where the server writes its log."
  type        = string
}

variable "settings" {
  description = "See the root's variable `mlflow`."
  type = object({
    host_name       = string
    certificate_arn = string
    image_tag       = string
    servers         = number
    cpu             = number
    memory_mb       = number
    workers         = number
  })
}

variable "database" {
  description = "See the root's variable `database`."
  type = object({
    instance_class = string
    engine_version = string
    storage_gb     = number
    max_storage_gb = number
    multi_az       = bool
    backup_days    = number
  })
}

variable "protect" {
  description = "Database and load balancer are not deleted, and a last snapshot is kept."
  type        = bool
}

variable "retention_days" {
  description = "Days that the database's log is kept."
  type        = number
}

variable "peer_vpc_id" {
  description = "A connected VPC in which the server's name resolves too, or null."
  type        = string
  nullable    = true
}
