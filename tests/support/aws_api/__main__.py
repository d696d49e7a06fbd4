"""Moto's server with what this project's Terraform needs besides: `python tests/support/aws_api -H 127.0.0.1 -p 5000`.

Runs in an environment of its own (`tests/support/terraform_tools.py` makes it): Moto's boto3 is newer than the one that
s3fs pins.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
sys.path.insert(0, str(Path(__file__).parents[1]))

import faithful
import kubernetes
import missing
import policies
import quotas

for module in (missing, kubernetes, faithful, policies, quotas):
    module.install()

from moto.server import main  # noqa: E402

main(sys.argv[1:])
