"""What each role may and may not do, call by call: `(role, action, resource, context of the call, answer)`.

True: allowed. None: no statement speaks of it, and IAM says no. The values are those of Terraform's own tests.
"""

from typing import Any

ACCOUNT = "111122223333"
NAME = "basereward-dev"
EC2 = f"arn:aws:ec2:us-east-1:{ACCOUNT}"
BUCKET = {
    kind: f"arn:aws:s3:::{NAME}-{kind}-{ACCOUNT}-us-east-1" for kind in ("raw", "shards", "checkpoints", "artifacts")
}
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000"
TO_EC2 = {"iam:PassedToService": "ec2.amazonaws.com"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role"
LAUNCH = {
    "aws:RequestTag/ray-cluster-name": NAME,
    "ec2:MetadataHttpTokens": "required",
    "ec2:InstanceType": "p4d.24xlarge",
}
REGION = {"aws:RequestedRegion": "us-east-1"}
DISKS = {"kms:ViaService": "ec2.us-east-1.amazonaws.com"}
OURS = {"aws:ResourceTag/ray-cluster-name": NAME}
HEAD = {"ssm:resourceTag/ray-cluster-name": NAME, "ssm:resourceTag/ray-node-type": "head"}
WORKER = HEAD | {"ssm:resourceTag/ray-node-type": "worker"}
DOCUMENT = "arn:aws:ssm:us-east-1::document"
RAY_TOKEN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ray-token"

CASES: list[tuple[str, str, str, dict[str, Any], bool | None]] = [
    ("worker", "s3:GetObject", f"{BUCKET['raw']}/a", {}, True),
    ("worker", "s3:PutObject", f"{BUCKET['raw']}/a", {}, None),
    ("worker", "s3:PutObject", f"{BUCKET['raw']}/fetched/a", {}, True),
    ("worker", "s3:DeleteObject", f"{BUCKET['raw']}/fetched/a", {}, None),
    ("worker", "s3:PutObject", f"{BUCKET['checkpoints']}/a", {}, True),
    ("worker", "s3:DeleteObject", f"{BUCKET['checkpoints']}/a", {}, True),
    ("worker", "s3:DeleteObject", f"{BUCKET['artifacts']}/a", {}, None),
    ("worker", "s3:GetObject", "arn:aws:s3:::somebody-elses/a", {}, None),
    ("worker", "s3:DeleteBucket", BUCKET["shards"], {}, None),
    ("worker", "s3:PutBucketPolicy", BUCKET["shards"], {}, None),
    ("worker", "ec2:RunInstances", f"{EC2}:instance/*", LAUNCH, None),
    ("worker", "iam:PassRole", f"{ROLE}/{NAME}-head", {}, None),
    ("worker", "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": f"{NAME}/nodes"}, True),
    ("worker", "cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/RDS"}, None),
    ("worker", "kms:Decrypt", KEY, {"kms:ViaService": "s3.us-east-1.amazonaws.com"}, True),
    ("worker", "kms:Decrypt", KEY, {}, None),
    ("worker", "secretsmanager:GetSecretValue", RAY_TOKEN, {}, True),
    ("worker", "secretsmanager:GetSecretValue", RAY_TOKEN.replace("ray-token", "mlflow-admin"), {}, None),
    ("head", "s3:GetObject", f"{BUCKET['raw']}/a", {}, True),
    ("head", "s3:PutObject", f"{BUCKET['raw']}/a", {}, None),
    ("head", "kms:CreateGrant", KEY, {**DISKS, "kms:GrantIsForAWSResource": "true"}, True),
    ("head", "kms:CreateGrant", KEY, {**DISKS, "kms:GrantIsForAWSResource": "false"}, None),
    ("head", "ec2:RunInstances", f"{EC2}:instance/*", LAUNCH, True),
    ("head", "ec2:RunInstances", f"{EC2}:instance/*", {**LAUNCH, "ec2:InstanceType": "p5.48xlarge"}, None),
    ("head", "ec2:RunInstances", f"{EC2}:instance/*", {**LAUNCH, "ec2:MetadataHttpTokens": "optional"}, None),
    (
        "head", "ec2:RunInstances", f"{EC2}:instance/*",
        {**LAUNCH, "aws:RequestTag/ray-cluster-name": "another"}, None,
    ),
    ("head", "ec2:RunInstances", f"{EC2}:volume/v", {"ec2:Encrypted": "true"}, True),
    ("head", "ec2:RunInstances", f"{EC2}:volume/v", {"ec2:Encrypted": "false"}, None),
    ("head", "ec2:RunInstances", f"{EC2}:subnet/subnet-0123456789abcdef0", {}, True),
    ("head", "ec2:RunInstances", f"{EC2}:subnet/subnet-1", {}, None),
    ("head", "ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-0123456789abcdef0", {}, True),
    ("head", "ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1", {}, None),
    ("head", "ec2:RunInstances", f"{EC2}:launch-template/lt-1", {"aws:ResourceTag/Cluster": NAME}, True),
    ("head", "ec2:RunInstances", f"{EC2}:launch-template/lt-1", {}, None),
    ("head", "ec2:RunInstances", f"{EC2}:key-pair/operators", {}, True),
    ("head", "ec2:RunInstances", f"{EC2}:key-pair/mine", {}, None),
    ("head", "ec2:TerminateInstances", f"{EC2}:instance/i-1", OURS, True),
    ("head", "ec2:TerminateInstances", f"{EC2}:instance/i-1", {}, None),
    ("head", "ec2:CreateTags", f"{EC2}:instance/i-1", {}, None),
    ("head", "ec2:CreateTags", f"{EC2}:instance/i-1", {"ec2:CreateAction": "RunInstances"}, True),
    ("head", "ec2:DescribeInstances", "*", REGION, True),
    ("head", "ec2:DescribeInstances", "*", {"aws:RequestedRegion": "eu-west-1"}, None),
    ("head", "iam:PassRole", f"{ROLE}/{NAME}-worker", TO_EC2, True),
    ("head", "iam:PassRole", f"{ROLE}/{NAME}-head", TO_EC2, None),
    ("head", "iam:PassRole", f"{ROLE}/admin", TO_EC2, None),
    ("operator", "iam:PassRole", f"{ROLE}/{NAME}-head", TO_EC2, True),
    ("operator", "s3:GetObject", f"{BUCKET['raw']}/a", {}, None),
    ("submitter", "s3:PutObject", f"{BUCKET['artifacts']}/submissions/code.zip", {}, True),
    ("submitter", "s3:PutObject", f"{BUCKET['artifacts']}/mlflow/1", {}, None),
    ("submitter", "s3:GetObject", f"{BUCKET['raw']}/a", {}, None),
    ("submitter", "s3:GetObject", f"{BUCKET['checkpoints']}/a", {}, True),
    ("submitter", "s3:DeleteObject", f"{BUCKET['checkpoints']}/a", {}, None),
    ("submitter", "ec2:RunInstances", f"{EC2}:instance/*", LAUNCH, None),
    ("head", "ssmmessages:OpenDataChannel", "*", REGION, True),
    ("head", "ssmmessages:OpenDataChannel", "*", {"aws:RequestedRegion": "eu-west-1"}, None),
    ("head", "ssm:GetParameter", "*", REGION, None),
    ("head", "ssm:StartSession", f"{EC2}:instance/i-1", HEAD, None),
    ("worker", "ssmmessages:OpenDataChannel", "*", REGION, None),
    ("submitter", "ssm:StartSession", f"{EC2}:instance/i-1", HEAD, True),
    ("submitter", "ssm:StartSession", f"{EC2}:instance/i-1", WORKER, None),
    ("submitter", "ssm:StartSession", f"{EC2}:instance/i-1", {**HEAD, "ssm:SessionDocumentAccessCheck": "false"}, None),
    ("submitter", "ssm:StartSession", f"{EC2}:instance/i-1", {}, None),
    ("submitter", "ssm:StartSession", f"{DOCUMENT}/AWS-StartPortForwardingSessionToRemoteHost", {}, True),
    ("submitter", "ssm:StartSession", f"{DOCUMENT}/AWS-StartSSHSession", {}, None),
    ("submitter", "ssm:StartSession", f"{DOCUMENT}/SSM-SessionManagerRunShell", {}, None),
    ("submitter", "ec2:DescribeInstances", "*", REGION, True),
    ("operator", "ssm:StartSession", f"{DOCUMENT}/AWS-StartSSHSession", {}, True),
    ("operator", "ssm:StartSession", f"{EC2}:instance/i-1", WORKER, None),
    ("mlflow", "s3:PutObject", f"{BUCKET['artifacts']}/mlflow/1/a", {}, True),
    ("mlflow", "s3:PutObject", f"{BUCKET['artifacts']}/submissions/a", {}, None),
    ("mlflow", "s3:GetObject", f"{BUCKET['checkpoints']}/a", {}, None),
    ("mlflow", "s3:ListBucket", BUCKET["artifacts"], {"s3:prefix": "mlflow/1"}, True),
    ("mlflow", "s3:ListBucket", BUCKET["artifacts"], {"s3:prefix": "submissions"}, None),
    ("mlflow", "secretsmanager:GetSecretValue", RAY_TOKEN, {}, None),
    ("mlflow-starter", "secretsmanager:GetSecretValue", RAY_TOKEN, {}, None),
]  # fmt: skip
