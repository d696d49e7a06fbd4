variable "name" {
  description = "Prefix of all names, and the value of the tag by which launches are allowed."
  type        = string
}

variable "tags" {
  description = "Tags of instances, disks and interfaces; the provider's default tags do not reach what a template launches."
  type        = map(string)
}

variable "head" {
  description = "The head; the root's variable says what each is. Bought on demand only."
  type        = object({ instance_type = string, purchase = string, disk_gb = number, price_per_hour = number })
  validation {
    condition     = var.head.purchase == "on_demand"
    error_message = "head.purchase: only on_demand; when AWS takes a spot head back, every job of the cluster is lost."
  }
  validation {
    condition     = var.head.price_per_hour > 0 && var.head.disk_gb >= 100
    error_message = "head: price_per_hour above 0, disk_gb 100 or more."
  }
}

variable "worker_groups" {
  description = "The workers; the root's variable says what each is."
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
  validation {
    condition     = alltrue([for name, it in var.worker_groups : can(regex("^[a-z][a-z0-9-]{0,15}$", name)) && name != "head"])
    error_message = "worker_groups: names of up to 16 lower-case letters, digits and dashes; not head."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : (it.gpus_per_node == 0) == (it.gpu_type == null)])
    error_message = "worker_groups: gpu_type names the GPUs of a group that has some, and is left out where gpus_per_node is 0."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : it.min_nodes >= 0 && it.min_nodes <= it.max_nodes && it.max_nodes >= 1])
    error_message = "worker_groups: 0 <= min_nodes <= max_nodes, and max_nodes at least 1."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : length(it.purchase) > 0 && length(distinct(it.purchase)) == length(it.purchase) && length(setsubtract(it.purchase, ["spot", "on_demand", "capacity_block"])) == 0])
    error_message = "worker_groups: purchase lists spot, on_demand or capacity_block, each once."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : it.price_per_hour > 0 && (!contains(it.purchase, "spot") || it.spot_price_per_hour > 0)])
    error_message = "worker_groups: price_per_hour above 0, and spot_price_per_hour too where spot is bought: sums of prices are made from them."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : !contains(it.purchase, "capacity_block") || it.capacity_reservation_id != null])
    error_message = "worker_groups: a capacity_block needs its capacity_reservation_id."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : contains(["instance_store", "none"], it.cache)])
    error_message = "worker_groups: cache is instance_store or none."
  }
  validation {
    condition     = alltrue([for it in var.worker_groups : it.efa_interfaces >= 0 && floor(it.efa_interfaces) == it.efa_interfaces && it.disk_gb >= 100])
    error_message = "worker_groups: efa_interfaces is a whole number from 0, disk_gb 100 or more."
  }
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
