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

run "no_door" {
  command = plan
  variables {
    access = { session_manager = false }
  }
  expect_failures = [var.access]
}

run "doors_that_lead_nowhere" {
  command = plan
  variables {
    access = {
      vpn     = { client_cidr = "10.42.0.0/16", server_certificate_arn = "mine", client_ca_arn = "mine" }
      peering = { vpc_id = "theirs", cidr = "52.0.0.0/16" }
    }
  }
  expect_failures = [var.access]
}

run "a_peer_that_is_the_whole_world" {
  command = plan
  variables {
    access = { peering = { vpc_id = "vpc-0123456789abcdef0", cidr = "10.0.0.0/0" } }
  }
  expect_failures = [var.access]
}

run "the_default_door" {
  command = plan
  assert {
    condition     = length(module.network.security_group_ids) == 4 && output.access.session_manager != null && output.access.vpn_endpoint_id == null
    error_message = "Session Manager without an open port is what one gets."
  }
}

run "a_network_of_ones_own" {
  command = plan
  variables {
    access       = { session_manager = false }
    access_cidrs = ["10.8.0.0/16"]
  }
  assert {
    condition     = output.access.session_manager == null
    error_message = "No tunnels where they are switched off."
  }
}

run "settings_without_sense" {
  command = plan
  variables {
    environment    = "Production"
    project        = "a_b"
    access_cidrs   = ["52.1.0.0/16"] # public, if of one company
    retention_days = 8
    ami            = { id = "ubuntu" }
    database       = { backup_days = 0 }
    mlflow         = { host_name = "mlflow", certificate_arn = "none", image_tag = "1" }
    alarms         = { monthly_budget = 0 }
  }
  expect_failures = [var.access_cidrs, var.environment, var.project, var.retention_days, var.ami, var.database, var.mlflow, var.alarms]
}
