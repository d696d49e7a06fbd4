variable "name" {
  description = "Prefix of all names, and the value of the tag by which launches are allowed."
  type        = string
}

variable "tags" {
  description = "Tags of instances, disks and interfaces; the provider's default tags do not reach what a template launches."
  type        = map(string)
}

variable "head" {
  description = "The head; see the root's variable."
  type        = object({ instance_type = string, disk_gb = number, price_per_hour = number })
}

variable "worker_groups" {
  description = "The workers; see the root's variable."
  type = map(object({
    instance_type           = string
    gpu_type                = string
    gpus_per_node           = number
    min_nodes               = number
    max_nodes               = number
    purchase                = list(string)
    price_per_hour          = number
    spot_price_per_hour     = number
    efa_interfaces          = number
    cache                   = string
    disk_gb                 = number
    capacity_reservation_id = string
  }))
}

variable "ami_id" {
  description = "A machine image to use in place of the looked-up one, or null."
  type        = string
  nullable    = true
}

variable "ami_ssm_parameter" {
  description = "The public SSM parameter that names the newest machine image."
  type        = string
}

variable "key_name" {
  description = "The SSH key pair of instances, or null."
  type        = string
  nullable    = true
}

variable "zone" {
  description = "Where head and workers run."
  type        = string
}

variable "subnet_id" {
  description = "The private subnet of head and workers."
  type        = string
}

variable "security_group_id" {
  description = "The security group of head and workers."
  type        = string
}

variable "instance_profile_arns" {
  description = "Instance profiles of head and worker."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "The key of disks."
  type        = string
}

variable "log_group" {
  description = "Where nodes write their logs."
  type        = string
}

variable "metrics_namespace" {
  description = "Where nodes write their metrics."
  type        = string
}
