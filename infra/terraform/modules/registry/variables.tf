variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts images."
  type        = string
}

variable "protect" {
  description = "A repository with images is not deleted."
  type        = bool
}

variable "kept_images" {
  description = "Images kept in each repository, newest first."
  type        = number
  default     = 30
}
