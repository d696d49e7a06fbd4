variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts the secrets."
  type        = string
}

variable "protect" {
  description = "A deleted secret can be had back for 30 days."
  type        = bool
}

variable "generation" {
  description = "Raise it to draw new secrets; clusters and the MLflow server then have to be restarted."
  type        = number
  default     = 1
}

variable "draw" {
  description = "Draw the values; otherwise whoever has them puts them in."
  type        = bool
}
