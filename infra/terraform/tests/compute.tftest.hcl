# Sizes against what AWS says of an instance type. The defaults of the mock: 8 cores, no GPU, no EFA, no local disks.

mock_provider "aws" {
  source = "./tests/mocks"
}

override_data {
  target = data.aws_ec2_instance_type.this["p4d.24xlarge"]
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
  name                  = "basereward-dev"
  tags                  = { Cluster = "basereward-dev" }
  ami_id                = "ami-00000000000000001"
  ami_ssm_parameter     = "/aws/service/unused"
  key_name              = null
  zone                  = "us-east-1a"
  subnet_id             = "subnet-0123456789abcdef0"
  security_group_id     = "sg-0123456789abcdef0"
  instance_profile_arns = { head = "arn:aws:iam::111122223333:instance-profile/head", worker = "arn:aws:iam::111122223333:instance-profile/worker" }
  kms_key_arn           = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  log_group             = "/basereward-dev/nodes"
  metrics_namespace     = "basereward-dev/nodes"
  head                  = { instance_type = "m6i.2xlarge", purchase = "on_demand", disk_gb = 200, price_per_hour = 0.384 }
  worker_groups = {
    a100 = {
      instance_type       = "p4d.24xlarge", gpu_type = "A100", gpus_per_node = 8, min_nodes = 0, max_nodes = 8, purchase = ["spot", "on_demand"],
      price_per_hour      = 21.96,
      spot_price_per_hour = 13, efa_interfaces = 4, cache = "instance_store", disk_gb = 500, capacity_reservation_id = "cr-0123456789abcdef0"
    }
  }
}

run "as_it_should_be" {
  command = plan
  module {
    source = "./modules/compute"
  }

  assert {
    condition     = length(data.aws_ssm_parameter.ami) == 0
    error_message = "A machine image that is given is not looked up."
  }
  assert {
    condition     = [for it in aws_launch_template.worker["a100-spot"].network_interfaces : it.interface_type] == ["efa", "efa-only", "efa-only", "efa-only"]
    error_message = "Each network card has its EFA, and the first carries IP."
  }
  assert {
    condition     = [for it in aws_launch_template.worker["a100-spot"].network_interfaces : [it.network_card_index, it.device_index]] == [[0, 0], [1, 1], [2, 1], [3, 1]]
    error_message = "One interface a card; only the first is device 0."
  }
  assert {
    condition     = alltrue([for it in aws_launch_template.worker["a100-spot"].network_interfaces : it.subnet_id == "subnet-0123456789abcdef0"])
    error_message = "Ray's launcher refuses an interface without a subnet."
  }
  assert {
    condition     = aws_launch_template.worker["a100-spot"].vpc_security_group_ids == null
    error_message = "EC2 refuses groups both at the instance and at its interfaces."
  }
  assert {
    condition     = aws_launch_template.worker["a100-spot"].instance_market_options[0].market_type == "spot" && length(aws_launch_template.worker["a100-on-demand"].instance_market_options) == 0
    error_message = "One template is bought as spot, the other is not."
  }
  assert {
    condition     = length(aws_launch_template.worker["a100-spot"].capacity_reservation_specification) == 0 && length(aws_launch_template.worker["a100-on-demand"].capacity_reservation_specification) == 1
    error_message = "A reservation is for what is bought on demand."
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.worker["a100-spot"].user_data), "mdadm") && !strcontains(base64decode(aws_launch_template.head.user_data), "mdadm")
    error_message = "Workers join their local disks, the head has none."
  }
}

run "head_with_gpus" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    head = { instance_type = "p4d.24xlarge", purchase = "on_demand", disk_gb = 200, price_per_hour = 21.96 }
  }
  expect_failures = [aws_launch_template.head]
}

run "head_not_offered_here" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    head = { instance_type = "m1.small", purchase = "on_demand", disk_gb = 200, price_per_hour = 1 }
  }
  expect_failures = [aws_launch_template.head]
}

run "more_efa_than_network_cards" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      a100 = {
        instance_type       = "p4d.24xlarge", gpu_type = "A100", gpus_per_node = 8, min_nodes = 0, max_nodes = 8, purchase = ["on_demand"], price_per_hour = 21.96,
        spot_price_per_hour = 0, efa_interfaces = 5, cache = "instance_store", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [aws_launch_template.worker["a100-on-demand"]]
}

run "gpus_that_are_not_there" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      a100 = {
        instance_type       = "p4d.24xlarge", gpu_type = "A100", gpus_per_node = 4, min_nodes = 0, max_nodes = 8, purchase = ["on_demand"], price_per_hour = 21.96,
        spot_price_per_hour = 0, efa_interfaces = 4, cache = "instance_store", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [aws_launch_template.worker["a100-on-demand"]]
}

run "gpus_without_a_type" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      a100 = {
        instance_type       = "p4d.24xlarge", gpu_type = null, gpus_per_node = 8, min_nodes = 0, max_nodes = 8, purchase = ["on_demand"], price_per_hour = 21.96,
        spot_price_per_hour = 0, efa_interfaces = 4, cache = "instance_store", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [var.worker_groups]
}

run "efa_on_a_type_without" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      cpu = {
        instance_type       = "m6i.2xlarge", gpu_type = null, gpus_per_node = 0, min_nodes = 0, max_nodes = 8, purchase = ["on_demand"], price_per_hour = 1,
        spot_price_per_hour = 0, efa_interfaces = 1, cache = "none", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [aws_launch_template.worker["cpu-on-demand"]]
}

run "cache_without_local_disks" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      cpu = {
        instance_type       = "m6i.2xlarge", gpu_type = null, gpus_per_node = 0, min_nodes = 0, max_nodes = 8, purchase = ["on_demand"], price_per_hour = 1,
        spot_price_per_hour = 0, efa_interfaces = 0, cache = "instance_store", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [aws_launch_template.worker["cpu-on-demand"]]
}

run "head_as_spot" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    head = { instance_type = "m6i.2xlarge", purchase = "spot", disk_gb = 200, price_per_hour = 0.384 }
  }
  expect_failures = [var.head]
}

run "capacity_block_without_reservation" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      h100 = {
        instance_type       = "p5.48xlarge", gpu_type = "H100", gpus_per_node = 8, min_nodes = 0, max_nodes = 8, purchase = ["capacity_block"], price_per_hour = 55,
        spot_price_per_hour = 0, efa_interfaces = 0, cache = "none", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [var.worker_groups]
}

run "spot_without_price" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      h100 = {
        instance_type       = "p5.48xlarge", gpu_type = "H100", gpus_per_node = 8, min_nodes = 0, max_nodes = 8, purchase = ["spot"], price_per_hour = 55,
        spot_price_per_hour = 0, efa_interfaces = 0, cache = "none", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [var.worker_groups]
}

run "fewest_above_most" {
  command = plan
  module {
    source = "./modules/compute"
  }
  variables {
    worker_groups = {
      h100 = {
        instance_type       = "p5.48xlarge", gpu_type = "H100", gpus_per_node = 8, min_nodes = 9, max_nodes = 8, purchase = ["on_demand"], price_per_hour = 55,
        spot_price_per_hour = 0, efa_interfaces = 0, cache = "none", disk_gb = 500, capacity_reservation_id = null
      }
    }
  }
  expect_failures = [var.worker_groups]
}
