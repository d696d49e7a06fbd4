# The wiring: which module needs what of which. What each makes is in its README.

data "aws_caller_identity" "this" {}

locals {
  name              = "${var.project}-${var.environment}"
  metrics_namespace = "${local.name}/nodes"
  tags = merge(var.tags, {
    Project     = var.project
    Environment = var.environment
    Cluster     = local.name
    ManagedBy   = "terraform"
  })
}

module "storage" {
  source         = "./modules/storage"
  name           = local.name
  protect        = var.protect
  retention_days = var.retention_days
  undo_days      = var.undo_days
  node_disks     = var.kubernetes != null
}

module "secrets" {
  source      = "./modules/secrets"
  draw        = var.draw_secrets
  providers   = { aws = aws, aws.draw = aws.draw }
  name        = local.name
  protect     = var.protect
  kms_key_arn = module.storage.kms_key_arn
}

module "registry" {
  source      = "./modules/registry"
  name        = local.name
  protect     = var.protect
  kms_key_arn = module.storage.kms_key_arn
}

module "network" {
  source         = "./modules/network"
  name           = local.name
  zone           = var.zone
  vpc_cidr       = var.network.vpc_cidr
  num_zones      = var.network.num_zones
  nat_per_zone   = var.network.nat_per_zone
  access_cidrs   = var.access_cidrs
  vpn            = var.access.vpn
  peering        = var.access.peering
  bucket_arns    = values(module.storage.bucket_arns)
  kms_key_arn    = module.storage.kms_key_arn
  retention_days = var.retention_days
}

module "identity" {
  source               = "./modules/identity"
  name                 = local.name
  bucket_arns          = module.storage.bucket_arns
  kms_key_arn          = module.storage.kms_key_arn
  secret_arns          = module.secrets.arns
  database_secret_arn  = module.mlflow.database_secret_arn
  repository_arns      = module.registry.arns
  subnet_id            = module.network.subnet_id
  security_group_id    = module.network.security_group_ids["cluster"]
  ami_id               = module.compute.ami_id
  instance_types       = module.compute.instance_types
  key_name             = var.key_name
  submitter_principals = var.submitter_principals
  operator_principals  = var.operator_principals
  pod_identity         = var.kubernetes != null
  session_manager      = var.access.session_manager
  metrics_namespace    = local.metrics_namespace
}

module "compute" {
  source                = "./modules/compute"
  name                  = local.name
  tags                  = local.tags
  head                  = var.head
  worker_groups         = var.worker_groups
  ami_id                = var.ami.id
  ami_ssm_parameter     = var.ami.ssm_parameter
  key_name              = var.key_name
  zone                  = module.network.zone
  subnet_id             = module.network.subnet_id
  security_group_id     = module.network.security_group_ids["cluster"]
  instance_profile_arns = module.identity.instance_profile_arns
  kms_key_arn           = module.storage.kms_key_arn
  log_group             = module.observability.log_groups["nodes"]
  metrics_namespace     = local.metrics_namespace
}

module "mlflow" {
  source             = "./modules/mlflow"
  name               = local.name
  protect            = var.protect
  settings           = var.mlflow
  database           = var.database
  image              = "${module.registry.urls["mlflow"]}:${var.mlflow.image_tag}"
  vpc_id             = module.network.vpc_id
  subnet_ids         = values(module.network.private_subnet_ids)
  security_group_ids = module.network.security_group_ids
  kms_key_arn        = module.storage.kms_key_arn
  secret_arns        = module.secrets.arns
  role_arns          = module.identity.role_arns
  artifacts_bucket   = module.storage.buckets["artifacts"]
  logs_bucket        = module.storage.logs_bucket
  log_group          = module.observability.log_groups["mlflow"]
  retention_days     = var.retention_days
  peer_vpc_id        = try(var.access.peering.vpc_id, null)
}

module "observability" {
  source              = "./modules/observability"
  name                = local.name
  kms_key_arn         = module.storage.kms_key_arn
  retention_days      = var.retention_days
  emails              = var.alarms.emails
  monthly_budget      = var.alarms.monthly_budget
  idle_minutes        = var.alarms.idle_minutes
  worker_groups       = { for group, it in var.worker_groups : group => it.gpus_per_node }
  metrics_namespace   = local.metrics_namespace
  database_identifier = module.mlflow.database_identifier
  database_storage_gb = var.database.storage_gb
  balancer_suffix     = module.mlflow.balancer_suffix
  target_group_suffix = module.mlflow.target_group_suffix
}

module "kubernetes" {
  count             = var.kubernetes == null ? 0 : 1
  source            = "./modules/kubernetes"
  name              = local.name
  tags              = local.tags
  settings          = var.kubernetes
  worker_groups     = var.worker_groups
  subnet_ids        = values(module.network.private_subnet_ids)
  worker_subnet_id  = module.network.subnet_id
  security_group_id = module.network.security_group_ids["cluster"]
  kms_key_arn       = module.storage.kms_key_arn
  worker_role_arn   = module.identity.role_arns["worker"]
  retention_days    = var.retention_days
}
