# Trainings of 8 nodes and more: EFA, one placement group a GPU type, two of everything that serves, data kept.
environment = "prod"
region      = "us-east-1"
protect     = true

retention_days = 365

network = {
  vpc_cidr     = "10.64.0.0/16"
  num_zones    = 3
  nat_per_zone = true
}

head = {
  instance_type  = "m6i.4xlarge"
  disk_gb        = 500
  price_per_hour = 0.768
}

worker_groups = {
  a100 = {
    instance_type       = "p4d.24xlarge"
    gpu_type            = "A100"
    gpus_per_node       = 8
    max_nodes           = 8
    purchase            = ["spot", "on_demand"]
    price_per_hour      = 21.96
    spot_price_per_hour = 13
    efa_interfaces      = 4
  }
  h100 = {
    instance_type  = "p5.48xlarge"
    gpu_type       = "H100"
    gpus_per_node  = 8
    max_nodes      = 8
    price_per_hour = 55.04
    efa_interfaces = 32
  }
  cpu = { # preprocessing: Ray takes machines without GPUs first where none is asked for
    instance_type       = "m6i.16xlarge"
    gpus_per_node       = 0
    max_nodes           = 8
    purchase            = ["spot", "on_demand"]
    price_per_hour      = 3.072
    spot_price_per_hour = 1.4
    cache               = "none"
  }
}

key_name = null # yours: the EC2 key pair with which Ray's launcher logs in

# People come by Session Manager (no open port); for a VPN or another VPC: access = { vpn = {...} } or { peering = {...} }.

mlflow = {
  host_name       = "mlflow.ml.example.com"
  certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  image_tag       = "3.17.2-1"
  servers         = 2
  cpu             = 2048
  memory_mb       = 8192
  workers         = 4
}

database = {
  instance_class = "db.m7g.large"
  storage_gb     = 100
  max_storage_gb = 1000
  multi_az       = true
  backup_days    = 30
}

fixed_prices = {
  database      = 0.168
  mlflow_server = 0.117
}

alarms = {
  monthly_budget = 100000
}
