variable "project" {
  description = "First part of all names."
  type        = string
  default     = "basereward"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}[a-z0-9]$", var.project))
    error_message = "project: 3 to 16 lower-case letters, digits and dashes (names of buckets are made from it)."
  }
}

variable "environment" {
  description = "Second part of all names, such as dev or prod."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,7}$", var.environment))
    error_message = "environment: 2 to 8 lower-case letters and digits."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "us-east-1"
}

variable "zone" {
  description = "The zone of head and workers, such as us-east-1b: EFA and placement groups do not cross zones. Null: the region's first."
  type        = string
  default     = null
}

variable "tags" {
  description = "More tags, on everything."
  type        = map(string)
  default     = {}
}

variable "protect" {
  description = "Nothing that holds data is deleted by a destroy: buckets, images, secrets, database, load balancer."
  type        = bool
}

variable "undo_days" {
  description = "Days that an overwritten or deleted object can still be had; old checkpoints cost as much as new ones."
  type        = number
  default     = 14
  validation {
    condition     = var.undo_days >= 1
    error_message = "undo_days: 1 or more."
  }
}

variable "retention_days" {
  description = "Days that logs are kept; one of CloudWatch's periods."
  type        = number
  default     = 30
  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 731], var.retention_days)
    error_message = "retention_days: 7, 14, 30, 60, 90, 180, 365, 400 or 731."
  }
}

variable "network" {
  description = "Addresses of the network (/16 to /18), zones with subnets, and a NAT gateway a zone or one for all."
  type = object({
    vpc_cidr     = optional(string, "10.42.0.0/16")
    num_zones    = optional(number, 2)
    nat_per_zone = optional(bool, false)
  })
  default = {}
  validation {
    condition     = can(cidrhost(var.network.vpc_cidr, 0)) && try(tonumber(split("/", var.network.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.network.vpc_cidr)[1]) <= 18, false)
    error_message = "network.vpc_cidr: a range of /16 to /18, such as 10.42.0.0/16."
  }
  validation {
    condition     = var.network.num_zones >= 2 && var.network.num_zones <= 6
    error_message = "network.num_zones: 2 to 6 (load balancer and database need two)."
  }
}

variable "access" {
  description = <<-TEXT
    The doors through which people reach the head and MLflow; none of them is open to the internet.
    `session_manager`: tunnels of AWS's Systems Manager, for which no port is opened. `vpn`: a client VPN that asks for certificates: addresses of its clients (/12 to /22, outside of the network),
    the ARNs of the server's certificate and of the authority that signed the clients'. `peering`: a VPC of this account and region, its addresses, and its route tables that get the way here.
    Networks that are connected by other means: `access_cidrs`.
  TEXT
  type = object({
    session_manager = optional(bool, true)
    vpn = optional(object({
      client_cidr            = string
      server_certificate_arn = string
      client_ca_arn          = string
    }))
    peering = optional(object({
      vpc_id          = string
      cidr            = string
      route_table_ids = optional(list(string), [])
    }))
  })
  default = {}
  validation {
    condition     = var.access.session_manager || var.access.vpn != null || var.access.peering != null || length(var.access_cidrs) > 0
    error_message = "access: nobody would reach the head: leave session_manager on, set vpn or peering, or name your networks in access_cidrs."
  }
  validation {
    condition = try(var.access.vpn == null, true) || (
      can(cidrhost(var.access.vpn.client_cidr, 0)) && try(tonumber(split("/", var.access.vpn.client_cidr)[1]) >= 12 && tonumber(split("/", var.access.vpn.client_cidr)[1]) <= 22, false)
    )
    error_message = "access.vpn.client_cidr: a range of /12 to /22 that the network does not use, such as 10.200.0.0/22."
  }
  validation {
    condition = try(var.access.vpn == null, true) || try(alltrue([
      for arn in [var.access.vpn.server_certificate_arn, var.access.vpn.client_ca_arn] : can(regex("^arn:aws[a-z-]*:acm:", arn))
    ]), false)
    error_message = "access.vpn: server_certificate_arn and client_ca_arn are ARNs of certificates in ACM."
  }
  validation {
    condition = try(var.access.peering == null, true) || (
      can(regex("^vpc-[0-9a-f]{8,17}$", var.access.peering.vpc_id)) && can(cidrhost(var.access.peering.cidr, 0)) && can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.)", var.access.peering.cidr)) &&
      try(tonumber(split("/", var.access.peering.cidr)[1]) >= 16, false)
    )
    error_message = "access.peering: vpc_id like vpc-0123456789abcdef0, and cidr, its private range of /16 to /28 (in 10/8, 172.16/12 or 192.168/16)."
  }
  validation {
    condition     = try(var.access.peering.cidr, null) != var.network.vpc_cidr && try(var.access.vpn.client_cidr, null) != var.network.vpc_cidr
    error_message = "access: the range of the peer or of the VPN's clients is the network's own: nothing would find its way back."
  }
}

variable "access_cidrs" {
  description = "Private networks that are connected already (a VPN of yours, Direct Connect) and reach SSH, Ray's dashboard and MLflow. Public ranges are refused."
  type        = list(string)
  default     = []
  validation {
    condition = alltrue([
      for cidr in var.access_cidrs : can(cidrhost(cidr, 0)) && can(regex("^(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.)", cidr)) && try(tonumber(split("/", cidr)[1]) >= 8, false)
    ])
    error_message = "access_cidrs: private ranges only (10/8, 172.16/12, 192.168/16, 100.64/10): the dashboard runs code for whoever has the token."
  }
}

variable "key_name" {
  description = "The EC2 key pair with which Ray's launcher logs in by SSH, through whichever door; null: for Kubernetes alone."
  type        = string
  default     = null
}

variable "ami" {
  description = "The machine image: the newest that an SSM parameter names, or the one of `id`; `user` logs in by SSH. It brings NVIDIA driver, EFA, Docker and the CloudWatch agent."
  type = object({
    id            = optional(string)
    ssm_parameter = optional(string, "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id")
    user          = optional(string, "ubuntu")
  })
  default = {}
  validation {
    condition     = var.ami.id == null || can(regex("^ami-[0-9a-f]{8,17}$", var.ami.id))
    error_message = "ami.id: like ami-0123456789abcdef0, or left out."
  }
}

variable "head" {
  description = "Ray's head: instance type without GPUs, disk in GiB, US dollars an hour. Bought on demand: a lost head ends all jobs."
  type = object({
    instance_type  = string
    purchase       = optional(string, "on_demand")
    disk_gb        = optional(number, 200)
    price_per_hour = number
  })
}

variable "worker_groups" {
  description = <<-TEXT
    Groups of workers by name. Sizes: instance type, its GPUs (checked against AWS; 0, without `gpu_type`: machines for preprocessing), fewest and most nodes.
    Prices: US dollars an hour of one node on demand, and as spot. `purchase`: ways of buying in the order in which they are tried.
    EFA: interfaces a node, one a network card; 0: none. `cache`: "instance_store" joins the local disks for shards, "none" does not. Disk: GiB.
    `capacity_reservation_id`: a reservation or capacity block that on_demand or capacity_block launches into.
  TEXT
  type = map(object({
    instance_type           = string
    gpu_type                = optional(string)
    gpus_per_node           = number
    min_nodes               = optional(number, 0)
    max_nodes               = number
    purchase                = optional(list(string), ["on_demand"])
    price_per_hour          = number
    spot_price_per_hour     = optional(number, 0)
    efa_interfaces          = optional(number, 0)
    cache                   = optional(string, "instance_store")
    disk_gb                 = optional(number, 500)
    capacity_reservation_id = optional(string)
  }))
}

variable "mlflow" {
  description = "The MLflow server: its name inside the network and the certificate for it, the image's tag, how many servers, CPU units (1024 a core), memory in MiB, processes a server."
  type = object({
    host_name       = string
    certificate_arn = string
    image_tag       = string
    servers         = optional(number, 1)
    cpu             = optional(number, 1024)
    memory_mb       = optional(number, 4096)
    workers         = optional(number, 2)
  })
  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.mlflow.host_name))
    error_message = "mlflow.host_name: a full name such as mlflow.ml.example.com."
  }
  validation {
    condition     = can(regex("^arn:aws[a-z-]*:acm:", var.mlflow.certificate_arn))
    error_message = "mlflow.certificate_arn: the ARN of an ACM certificate for mlflow.host_name; without TLS, passwords would be readable on the way."
  }
}

variable "database" {
  description = "MLflow's PostgreSQL: class, version, GiB and how far they grow, a second zone, days of backups."
  type = object({
    instance_class = optional(string, "db.t4g.medium")
    engine_version = optional(string, "16.8")
    storage_gb     = optional(number, 50)
    max_storage_gb = optional(number, 200)
    multi_az       = optional(bool, false)
    backup_days    = optional(number, 7)
  })
  default = {}
  validation {
    condition     = var.database.backup_days >= 1 && var.database.backup_days <= 35
    error_message = "database.backup_days: 1 to 35; 0 would switch backups off."
  }
}

variable "kubernetes" {
  description = "Set it to make a Kubernetes cluster for KubeRay with the same worker groups; null: EC2 for Ray's own launcher only."
  type = object({
    version              = optional(string, "1.33")
    namespace            = optional(string, "ray")
    service_account      = optional(string, "basereward")
    system_instance_type = optional(string, "m7i.large")
  })
  default = null
}

variable "submitter_principals" {
  description = "ARNs of users or roles that may become submitter. Empty: the account decides by IAM."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.submitter_principals : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:", arn))])
    error_message = "submitter_principals: ARNs of IAM users or roles; never \"*\"."
  }
}

variable "operator_principals" {
  description = "ARNs of users or roles that may become operator (ray up, ray down). Empty: the account decides by IAM."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for arn in var.operator_principals : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:", arn))])
    error_message = "operator_principals: ARNs of IAM users or roles; never \"*\"."
  }
}

variable "draw_secrets" {
  description = "Draw Ray's token and MLflow's passwords at random; false: put them in with `aws secretsmanager put-secret-value` (the server waits for them)."
  type        = bool
  default     = true
}

variable "alarms" {
  description = "Who is told, US dollars a month, and minutes without work on any GPU of a group."
  type = object({
    emails         = optional(list(string), [])
    monthly_budget = number
    idle_minutes   = optional(number, 30)
  })
  validation {
    condition     = var.alarms.monthly_budget > 0 && var.alarms.idle_minutes >= 5
    error_message = "alarms: monthly_budget above 0, idle_minutes 5 or more."
  }
}

variable "fixed_prices" {
  description = "US dollars an hour of what runs without a node: list prices of us-east-1 in 2025, rounded; traffic and storage are not in them."
  type = object({
    nat_gateway        = optional(number, 0.045)
    load_balancer      = optional(number, 0.0225)
    database           = optional(number, 0.065)
    mlflow_server      = optional(number, 0.058)
    kubernetes         = optional(number, 0.1)
    kubernetes_systems = optional(number, 0.2016)
  })
  default = {}
}
