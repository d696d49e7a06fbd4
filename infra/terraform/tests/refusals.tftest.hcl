# What cannot work, or must not be, is refused before anything is planned.

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

variables {
  environment   = "dev"
  protect       = false
  draw_secrets  = false
  head          = { instance_type = "m6i.2xlarge", price_per_hour = 0.384 }
  worker_groups = {}
  mlflow = {
    host_name       = "mlflow.ml.example.com"
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/1"
    image_tag       = "1"
  }
  alarms = { monthly_budget = 1000 }
}

run "head_as_spot" {
  command = plan
  variables {
    head = { instance_type = "m6i.2xlarge", price_per_hour = 0.384, purchase = "spot" }
  }
  expect_failures = [var.head]
}

run "open_to_the_world" {
  command = plan
  variables {
    access_cidrs         = ["0.0.0.0/0"]
    submitter_principals = ["*"]
    operator_principals  = ["*"]
    network              = { vpc_cidr = "10.0.0.0/24" }
  }
  expect_failures = [var.access_cidrs, var.submitter_principals, var.operator_principals, var.network]
}

run "public_range_of_one_company" {
  command = plan
  variables {
    access_cidrs = ["52.1.0.0/16"]
  }
  expect_failures = [var.access_cidrs]
}

run "settings_without_sense" {
  command = plan
  variables {
    environment    = "Production"
    project        = "a_b"
    retention_days = 8
    ami            = { id = "ubuntu" }
    database       = { backup_days = 0 }
    mlflow         = { host_name = "mlflow", certificate_arn = "none", image_tag = "1" }
    alarms         = { monthly_budget = 0 }
  }
  expect_failures = [var.environment, var.project, var.retention_days, var.ami, var.database, var.mlflow, var.alarms]
}

run "capacity_block_without_reservation" {
  command = plan
  variables {
    worker_groups = {
      h100 = { instance_type = "p5.48xlarge", gpu_type = "H100", gpus_per_node = 8, max_nodes = 8, price_per_hour = 55, purchase = ["capacity_block"] }
    }
  }
  expect_failures = [var.worker_groups]
}

run "spot_without_price" {
  command = plan
  variables {
    worker_groups = {
      h100 = { instance_type = "p5.48xlarge", gpu_type = "H100", gpus_per_node = 8, max_nodes = 8, price_per_hour = 55, purchase = ["spot"] }
    }
  }
  expect_failures = [var.worker_groups]
}

run "fewest_above_most" {
  command = plan
  variables {
    worker_groups = {
      h100 = { instance_type = "p5.48xlarge", gpu_type = "H100", gpus_per_node = 8, min_nodes = 9, max_nodes = 8, price_per_hour = 55 }
    }
  }
  expect_failures = [var.worker_groups]
}
