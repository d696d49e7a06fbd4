variable "name" {
  description = "Prefix of all names, and the value of the tag Cluster that the budget counts."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of logs and of the alarms' topic."
  type        = string
}

variable "retention_days" {
  description = "Days that logs are kept."
  type        = number
}

variable "emails" {
  description = "Who is told of alarms; each has to confirm once."
  type        = list(string)
}

variable "monthly_budget" {
  description = "US dollars a month for all that is tagged."
  type        = number
}

variable "worker_groups" {
  description = "The worker groups by name, and how many GPUs a node of each has."
  type        = map(number)
}

variable "idle_minutes" {
  description = "Minutes without work on any GPU of a group after which an alarm is raised."
  type        = number
}

variable "metrics_namespace" {
  description = "Where nodes write their metrics."
  type        = string
}

variable "database_identifier" {
  description = "MLflow's database."
  type        = string
}

variable "database_storage_gb" {
  description = "GiB of MLflow's database."
  type        = number
}

variable "balancer_suffix" {
  description = "MLflow's load balancer, as its metrics name it."
  type        = string
}

variable "target_group_suffix" {
  description = "MLflow's servers, as metrics name them."
  type        = string
}
