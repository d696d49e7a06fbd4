terraform {
  required_version = ">= 1.11.0, < 2.0.0" # write-only arguments, locking in S3
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100.0"
    }
  }

  # Bucket, key and region come from environments/NAME.s3.tfbackend.
  backend "s3" {
    use_lockfile = true
    encrypt      = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = local.tags
  }
}

# The same, for secrets that are drawn: see modules/secrets.
provider "aws" {
  alias  = "draw"
  region = var.region
}
