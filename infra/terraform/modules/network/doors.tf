# Ways in that are made here, each if it is asked for. Session Manager needs none of this: its agent calls out.

locals {
  # Who reaches the head and MLflow: networks by their addresses, clients of the VPN by the group of its interfaces.
  doors = merge(
    { for cidr in concat(var.access_cidrs, var.peering == null ? [] : [var.peering.cidr]) : cidr => { cidr = cidr, group = null } },
    var.vpn == null ? {} : { vpn = { cidr = null, group = aws_security_group.vpn[0].id } },
  )
}

resource "aws_vpc_peering_connection" "this" {
  count       = var.peering == null ? 0 : 1
  vpc_id      = aws_vpc.this.id
  peer_vpc_id = var.peering.vpc_id
  auto_accept = true # of the same account and region
  tags        = { Name = "${var.name}-peer" }
  accepter {
    allow_remote_vpc_dns_resolution = true
  }
  requester {
    allow_remote_vpc_dns_resolution = true
  }
}

resource "aws_route" "peer" {
  for_each                  = toset(var.peering == null ? [] : var.peering.route_table_ids)
  route_table_id            = each.key
  destination_cidr_block    = var.vpc_cidr
  vpc_peering_connection_id = aws_vpc_peering_connection.this[0].id
}

resource "aws_security_group" "vpn" {
  count       = var.vpn == null ? 0 : 1
  name        = "${var.name}-vpn"
  description = "Interfaces of the client VPN: to the head and to MLflow"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-vpn" }
}

resource "aws_vpc_security_group_egress_rule" "vpn" {
  for_each                     = var.vpn == null ? {} : merge({ for name, port in local.access_ports : name => { group = "cluster", port = port } }, { mlflow = { group = "balancer", port = 443 } })
  security_group_id            = aws_security_group.vpn[0].id
  referenced_security_group_id = aws_security_group.this[each.value.group].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = each.key
}

resource "aws_ec2_client_vpn_endpoint" "this" {
  count                  = var.vpn == null ? 0 : 1
  description            = "People of ${var.name}"
  vpc_id                 = aws_vpc.this.id
  client_cidr_block      = var.vpn.client_cidr
  server_certificate_arn = var.vpn.server_certificate_arn
  security_group_ids     = [aws_security_group.vpn[0].id]
  dns_servers            = [cidrhost(var.vpc_cidr, 2)] # the network's own, which knows MLflow's name
  split_tunnel           = true
  session_timeout_hours  = 12
  tags                   = { Name = "${var.name}-vpn" }

  authentication_options {
    type                       = "certificate-authentication"
    root_certificate_chain_arn = var.vpn.client_ca_arn
  }

  connection_log_options {
    enabled              = true
    cloudwatch_log_group = aws_cloudwatch_log_group.vpn[0].name
  }
}

resource "aws_cloudwatch_log_group" "vpn" {
  count             = var.vpn == null ? 0 : 1
  name              = "/${var.name}/vpn"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ec2_client_vpn_network_association" "this" {
  count                  = var.vpn == null ? 0 : 1
  client_vpn_endpoint_id = aws_ec2_client_vpn_endpoint.this[0].id
  subnet_id              = aws_subnet.private[local.zone].id
}

resource "aws_ec2_client_vpn_authorization_rule" "this" {
  count                  = var.vpn == null ? 0 : 1
  client_vpn_endpoint_id = aws_ec2_client_vpn_endpoint.this[0].id
  target_network_cidr    = var.vpc_cidr
  authorize_all_groups   = true # whoever holds a certificate; the security group says what is reached
  description            = "The network"
}
