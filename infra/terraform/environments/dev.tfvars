# A place to try things: one zone's NAT, a small database, spot first. A destroy leaves nothing.
environment = "dev"
region      = "us-east-1"
protect     = false

head = {
  instance_type  = "m6i.2xlarge"
  price_per_hour = 0.384
}

worker_groups = {
  a10g = {
    instance_type       = "g5.12xlarge"
    gpu_type            = "A10G"
    gpus_per_node       = 4
    max_nodes           = 2
    purchase            = ["spot", "on_demand"]
    price_per_hour      = 5.672
    spot_price_per_hour = 2.9
    disk_gb             = 300
  }
  cpu = { # preprocessing: Ray takes machines without GPUs first where none is asked for
    instance_type       = "m6i.8xlarge"
    gpus_per_node       = 0
    max_nodes           = 2
    purchase            = ["spot", "on_demand"]
    price_per_hour      = 1.536
    spot_price_per_hour = 0.7
    cache               = "none"
    disk_gb             = 300
  }
}

key_name = null # yours: the EC2 key pair with which Ray's launcher logs in

# People come by Session Manager (no open port); for a VPN or another VPC: access = { vpn = {...} } or { peering = {...} }.

# Yours: a name inside the network, the ARN of its certificate, the tag of the image you pushed.
mlflow = {
  host_name       = "mlflow.dev.ml.example.com"
  certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
  image_tag       = "3.17.2-1"
}

alarms = {
  monthly_budget = 2000
}
