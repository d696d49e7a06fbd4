# Everything is made, with made-up values in place of AWS's: what leaves the root module is what `cluster render` reads.

mock_provider "aws" {
  source = "./tests/mocks"
}

# The one that cannot be mocked, made to call nobody.
provider "aws" {
  alias                       = "draw"
  region                      = "us-east-1"
  access_key                  = "unused"
  secret_key                  = "unused"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_resource {
  target = module.secrets.aws_secretsmanager_secret.this["ray-token"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ray-token" }
}
override_resource {
  target = module.secrets.aws_secretsmanager_secret.this["mlflow-admin"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:mlflow-admin" }
}
override_resource {
  target = module.secrets.aws_secretsmanager_secret.this["mlflow-sessions"]
  values = { arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:mlflow-sessions" }
}
override_data {
  target = module.compute.data.aws_ec2_instance_type.this["g5.12xlarge"]
  values = {
    default_vcpus              = 48
    memory_size                = 196608
    total_gpu_memory           = 91553
    gpus                       = [{ count = 4, manufacturer = "NVIDIA", memory_size = 22888, name = "A10G" }]
    efa_supported              = true
    maximum_network_cards      = 1
    instance_storage_supported = true
    supported_architectures    = ["x86_64"]
  }
}
override_data {
  target = module.compute.data.aws_ec2_instance_type.this["p4d.24xlarge"]
  values = {
    default_vcpus              = 96
    memory_size                = 1179648
    total_gpu_memory           = 327680
    gpus                       = [{ count = 8, manufacturer = "NVIDIA", memory_size = 40960, name = "A100" }]
    efa_supported              = true
    maximum_network_cards      = 4
    instance_storage_supported = true
    supported_architectures    = ["x86_64"]
  }
}

variables {
  environment  = "dev"
  protect      = true
  draw_secrets = false
  key_name     = "operators"
  access_cidrs = ["10.8.0.0/16", "192.168.0.0/24"]
  access = {
    vpn = {
      client_cidr            = "10.200.0.0/22"
      server_certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/2"
      client_ca_arn          = "arn:aws:acm:us-east-1:111122223333:certificate/3"
    }
    peering = { vpc_id = "vpc-0123456789abcdef0", cidr = "10.9.0.0/16", route_table_ids = ["rtb-0123456789abcdef0"] }
  }
  kubernetes = {}
  head       = { instance_type = "m6i.2xlarge", price_per_hour = 0.384 }
  worker_groups = {
    a10g = {
      instance_type = "g5.12xlarge", gpu_type = "A10G", gpus_per_node = 4, max_nodes = 2, price_per_hour = 5.672, cache = "none"
    }
    a100 = {
      instance_type  = "p4d.24xlarge", gpu_type = "A100", gpus_per_node = 8, min_nodes = 2, max_nodes = 8, efa_interfaces = 4,
      price_per_hour = 21.96, spot_price_per_hour = 13, purchase = ["spot", "on_demand"]
    }
    cpu = { instance_type = "m6i.8xlarge", gpus_per_node = 0, max_nodes = 2, price_per_hour = 1.536, cache = "none" }
  }
  mlflow = {
    host_name       = "mlflow.ml.example.com"
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/1"
    image_tag       = "1"
  }
  alarms = { monthly_budget = 1000, emails = ["operators@example.com"] }
}

run "everything" {
  command = apply

  assert {
    condition     = [for it in output.worker_groups["a100"].launch_templates : it.purchase] == ["spot", "on_demand"]
    error_message = "Templates stand in the order in which they are tried."
  }
  assert {
    condition     = [for it in output.worker_groups["a100"].launch_templates : it.price_per_hour] == [13, 21.96]
    error_message = "Each way of buying has its price."
  }
  assert {
    condition     = output.worker_groups["a100"].launch_templates[0].version == "3" && output.head.launch_template.version == "3"
    error_message = "A version is a string: Ray hands it to EC2 as it is."
  }
  assert {
    condition = (
      output.worker_groups["a100"].efa_interfaces == 4 && output.worker_groups["a100"].placement_group == "basereward-dev-a100" &&
      output.worker_groups["a100"].cache_dir == "/mnt/cache" && output.worker_groups["a100"].gpu_memory_gb == 40 &&
      output.worker_groups["a100"].cpus == 96 && output.worker_groups["a100"].memory_gb == 1152
    )
    error_message = "A group with EFA has a placement group, and a group with local disks a cache."
  }
  assert {
    condition     = output.worker_groups["a10g"].placement_group == null && output.worker_groups["a10g"].cache_dir == null
    error_message = "A group without has none."
  }
  assert {
    condition     = output.worker_groups["cpu"].gpus_per_node == 0 && output.worker_groups["cpu"].gpu_type == null && output.worker_groups["cpu"].gpu_memory_gb == 0
    error_message = "A group without GPUs says so."
  }
  assert {
    condition     = keys(output.buckets) == ["artifacts", "checkpoints", "raw", "shards"] && output.buckets.raw == "basereward-dev-raw-111122223333-us-east-1"
    error_message = "Four buckets, named by project, environment, account and region."
  }
  assert {
    condition     = output.prices.idle_per_hour == 44.7961 && output.prices.max_per_hour == 190.9721
    error_message = "0.4921 fixed + 0.384 head + 2 x 21.96, and + 8 x 21.96 + 2 x 5.672 + 2 x 1.536: got ${jsonencode(output.prices)}"
  }
  assert {
    condition     = output.mlflow.tracking_uri == "https://mlflow.ml.example.com" && output.name == "basereward-dev" && output.schema_version == 2
    error_message = "MLflow is reached by TLS."
  }
  assert {
    condition     = keys(output.kubernetes.node_groups) == ["a100-on-demand", "a100-spot", "a10g-on-demand", "cpu-on-demand"]
    error_message = "A node group for each way of buying."
  }
  assert {
    condition     = output.ssh == { user = "ubuntu", key_name = "operators" } && output.ami_id == "ami-0123456789abcdef0"
    error_message = "The machine image is looked up, and its user logs in."
  }
  assert {
    condition = (
      strcontains(output.access.session_manager.dashboard, "ssm start-session --region us-east-1 --target \"$${HEAD%%[[:space:]]*}\" --document-name AWS-StartPortForwardingSessionToRemoteHost") &&
      strcontains(output.access.session_manager.dashboard, "Values=basereward-dev Name=tag:ray-node-type,Values=head") &&
      strcontains(output.access.session_manager.mlflow, "host=mlflow.ml.example.com,portNumber=443,localPortNumber=8443")
    )
    error_message = "Tunnels lead to the head that runs now: got ${jsonencode(output.access)}"
  }
  assert {
    condition     = output.access.vpn_endpoint_id != null && output.access.peering_connection_id != null
    error_message = "What was made has an id."
  }
}
