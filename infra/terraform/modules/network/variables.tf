variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the network, /16 to /18: a P5 node alone may take dozens."
  type        = string
}

variable "zone" {
  description = "The zone of head and workers, such as us-east-1b. Null: the first. EFA and placement groups do not cross zones."
  type        = string
  nullable    = true
}

variable "num_zones" {
  description = "Zones with subnets; load balancer and database need two."
  type        = number
}

variable "nat_per_zone" {
  description = "One NAT gateway a zone; otherwise one in the zone of the workers."
  type        = bool
}

variable "access_cidrs" {
  description = "Private networks from which people reach SSH, dashboard and MLflow."
  type        = list(string)
}

variable "vpn" {
  description = "A client VPN to make, or null; the root's variable says what each is."
  type        = object({ client_cidr = string, server_certificate_arn = string, client_ca_arn = string })
  nullable    = true
}

variable "peering" {
  description = "A VPC to connect, or null; the root's variable says what each is."
  type        = object({ vpc_id = string, cidr = string, route_table_ids = list(string) })
  nullable    = true
}

variable "bucket_arns" {
  description = "The only buckets that may be written from inside the network."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "The key that encrypts the flow log."
  type        = string
}

variable "retention_days" {
  description = "Days that flow logs are kept."
  type        = number
}
