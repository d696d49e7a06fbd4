variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "protect" {
  description = "Keep data: a bucket with objects is not deleted."
  type        = bool
}

variable "retention_days" {
  description = "Days that access logs are kept."
  type        = number
}

variable "undo_days" {
  description = "Days that an overwritten or deleted object can still be had."
  type        = number
}

variable "node_disks" {
  description = "Let services of this account use the key for disks of instances (Kubernetes' node groups need it)."
  type        = bool
}
