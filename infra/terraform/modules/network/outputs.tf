output "vpc_id" {
  description = "The network."
  value       = aws_vpc.this.id
}

output "zone" {
  description = "Where head and workers run."
  value       = local.zone
}

output "subnet_id" {
  description = "The private subnet of head and workers."
  value       = aws_subnet.private[local.zone].id
}

output "private_subnet_ids" {
  description = "Private subnets by zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "security_group_ids" {
  description = "Security groups: cluster, balancer, mlflow, database."
  value       = { for name, group in aws_security_group.this : name => group.id }
}

output "vpn_endpoint_id" {
  description = "The client VPN, or null."
  value       = one(aws_ec2_client_vpn_endpoint.this[*].id)
}

output "peering_connection_id" {
  description = "The connection with the other VPC, or null."
  value       = one(aws_vpc_peering_connection.this[*].id)
}
