# Session Manager: the head's agent calls out and keeps a channel, so that no port is open; people start tunnels to the head.

locals {
  ssm      = "arn:${local.partition}:ssm:${local.region}"
  tunnel   = "${local.ssm}::document/AWS-StartPortForwardingSessionToRemoteHost"
  ssh      = "${local.ssm}::document/AWS-StartSSHSession"
  sessions = var.session_manager ? [1] : []

  # What the agent on the head needs, and no more of AmazonSSMManagedInstanceCore: no parameters, no commands. AWS knows no resource for these.
  answer_sessions = [for _ in local.sessions : {
    Sid    = "AnswerSessions"
    Effect = "Allow"
    Action = [
      "ssm:UpdateInstanceInformation",
      "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
    ]
    Resource  = "*"
    Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
  }]

  find_head = {
    Sid       = "FindTheHead"
    Effect    = "Allow"
    Action    = ["ec2:DescribeInstances"]
    Resource  = "*"
    Condition = { StringEquals = { "aws:RequestedRegion" = local.region } }
  }

  # To the head alone, and by these documents alone: with the check, a session without a document (a shell) needs a right of its own.
  start_sessions = { for person, documents in { submitter = [local.tunnel], operator = [local.tunnel, local.ssh] } : person => flatten([for _ in local.sessions : [
    {
      Sid      = "ToTheHead"
      Effect   = "Allow"
      Action   = ["ssm:StartSession"]
      Resource = ["${local.ec2}:instance/*"]
      Condition = {
        StringEquals = { "ssm:resourceTag/ray-cluster-name" = var.name, "ssm:resourceTag/ray-node-type" = "head" }
        BoolIfExists = { "ssm:SessionDocumentAccessCheck" = "true" }
      }
    },
    {
      Sid      = "ByTheseDocuments"
      Effect   = "Allow"
      Action   = ["ssm:StartSession"]
      Resource = documents
    },
    {
      Sid      = "EndOnesOwnSessions"
      Effect   = "Allow"
      Action   = ["ssm:TerminateSession", "ssm:ResumeSession"]
      Resource = ["${local.ssm}:${local.account_id}:session/$${aws:userid}-*"]
    },
  ]]) }
}
