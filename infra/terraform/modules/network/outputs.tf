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
