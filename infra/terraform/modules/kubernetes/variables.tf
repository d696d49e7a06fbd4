variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "tags" {
  description = "Tags of instances and disks; the provider's default tags do not reach what a template launches."
  type        = map(string)
}

variable "settings" {
  description = "See the root's variable `kubernetes`."
  type = object({
    version              = string
    namespace            = string
    service_account      = string
    system_instance_type = string
  })
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

variable "subnet_ids" {
  description = "Private subnets of the control plane, in two zones or more."
  type        = list(string)
}

variable "worker_subnet_id" {
  description = "The private subnet of the workers."
  type        = string
}

variable "security_group_id" {
  description = "The security group of the workers: EFA among themselves."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of disks, Kubernetes' secrets and logs."
  type        = string
}

variable "worker_role_arn" {
  description = "The role that pods of the service account have."
  type        = string
}

variable "retention_days" {
  description = "Days that logs of the control plane are kept."
  type        = number
}
