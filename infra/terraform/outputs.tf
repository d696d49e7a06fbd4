# The contract with `basereward cluster render`; README.md says each shape. None is a secret.

output "schema_version" {
  description = "Raised when a name or shape below changes."
  value       = 2
}

output "name" {
  description = "Prefix of all names, and Ray's cluster name."
  value       = local.name
}

output "environment" {
  description = "Such as dev or prod."
  value       = var.environment
}

output "region" {
  description = "The AWS region."
  value       = var.region
}

output "account_id" {
  description = "The AWS account."
  value       = data.aws_caller_identity.this.account_id
}

output "tags" {
  description = "Tags of everything."
  value       = local.tags
}

output "network" {
  description = "Where head and workers run, and who reaches them."
  value = {
    vpc_id             = module.network.vpc_id
    vpc_cidr           = var.network.vpc_cidr
    zone               = module.network.zone
    subnet_id          = module.network.subnet_id
    private_subnet_ids = module.network.private_subnet_ids
    security_group_id  = module.network.security_group_ids["cluster"]
    access_cidrs       = var.access_cidrs
  }
}

output "access" {
  description = "The doors: commands that open Session Manager's tunnels from a person's machine, or null; what else was made."
  value = {
    session_manager       = var.access.session_manager ? local.tunnels : null
    vpn_endpoint_id       = module.network.vpn_endpoint_id
    peering_connection_id = module.network.peering_connection_id
  }
}

output "ssh" {
  description = "Who logs in, and with which EC2 key pair."
  value       = { user = var.ami.user, key_name = var.key_name }
}

output "ami_id" {
  description = "The machine image of head and workers."
  value       = module.compute.ami_id
}

output "head" {
  description = "Ray's head."
  value = merge(module.compute.head, {
    instance_profile_arn = module.identity.instance_profile_arns["head"]
    subnet_id            = module.network.subnet_id
  })
}

output "worker_groups" {
  description = "The worker groups by name."
  value = {
    for group, it in module.compute.worker_groups : group => merge(it, {
      instance_profile_arn = module.identity.instance_profile_arns["worker"]
      subnet_id            = module.network.subnet_id
    })
  }
}

output "buckets" {
  description = "Names of the buckets: raw, shards, checkpoints, artifacts."
  value       = module.storage.buckets
}

output "kms_key_arn" {
  description = "The key of buckets, disks, logs and secrets."
  value       = module.storage.kms_key_arn
}

output "roles" {
  description = "ARNs of roles."
  value       = { for role in ["head", "worker", "submitter", "operator", "mlflow"] : role => module.identity.role_arns[role] }
}

output "ray_token_secret_arn" {
  description = "The secret whose string is Ray's token."
  value       = module.secrets.arns["ray-token"]
}

output "mlflow" {
  description = "Where MLflow is, and who administers it."
  value = {
    tracking_uri     = module.mlflow.tracking_uri
    host_name        = var.mlflow.host_name
    admin_secret_arn = module.secrets.arns["mlflow-admin"]
    log_group        = module.observability.log_groups["mlflow"]
    image            = "${module.registry.urls["mlflow"]}:${var.mlflow.image_tag}"
  }
}

output "images" {
  description = "Addresses of the image repositories, without a tag."
  value       = module.registry.urls
}

output "log_groups" {
  description = "Log groups of nodes and MLflow."
  value       = module.observability.log_groups
}

output "metrics_namespace" {
  description = "The CloudWatch namespace of nodes' metrics."
  value       = local.metrics_namespace
}

output "kubernetes" {
  description = "The Kubernetes cluster, or null."
  value       = one(module.kubernetes[*].kubernetes)
}

output "prices" {
  description = "US dollars an hour, from the sizing variables."
  value = merge({ currency = "USD" }, { for what, price in {
    fixed_per_hour       = local.fixed
    head_per_hour        = var.head.price_per_hour
    workers_min_per_hour = local.workers_min
    workers_max_per_hour = local.workers_max
    idle_per_hour        = local.fixed + var.head.price_per_hour + local.workers_min
    max_per_hour         = local.fixed + var.head.price_per_hour + local.workers_max
  } : what => tonumber(format("%.4f", price)) })
}
