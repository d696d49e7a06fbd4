# On top of environments/dev.tfvars: all that can be made, so that all of it is tried.
key_name     = "operators"
access_cidrs = ["10.8.0.0/16", "192.168.0.0/24"]
kubernetes   = {}

worker_groups = {
  a10g = {
    instance_type       = "g5.12xlarge"
    gpu_type            = "A10G"
    gpus_per_node       = 4
    max_nodes           = 2
    purchase            = ["spot", "on_demand"]
    price_per_hour      = 5.672
    spot_price_per_hour = 2.9
  }
  a100 = {
    instance_type       = "p4d.24xlarge"
    gpu_type            = "A100"
    gpus_per_node       = 8
    min_nodes           = 2
    max_nodes           = 8
    purchase            = ["spot", "on_demand"]
    price_per_hour      = 21.96
    spot_price_per_hour = 13
    efa_interfaces      = 4
  }
  cpu = {
    instance_type  = "m6i.8xlarge"
    gpus_per_node  = 0
    max_nodes      = 2
    price_per_hour = 1.536
    cache          = "none"
  }
}

alarms = {
  emails         = ["operators@example.com"]
  monthly_budget = 2000
}
