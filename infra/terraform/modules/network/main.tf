data "aws_region" "this" {}

data "aws_availability_zones" "this" {
  state = "available"
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"] # no local zones
  }
}

locals {
  all_zones = data.aws_availability_zones.this.names
  zone      = var.zone == null ? local.all_zones[0] : var.zone
  zones     = slice(concat([local.zone], [for z in local.all_zones : z if z != local.zone]), 0, var.num_zones)
  nat_zones = toset(var.nat_per_zone ? local.zones : [local.zone])
}

resource "aws_vpc" "this" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }

  lifecycle {
    precondition {
      condition     = contains(local.all_zones, local.zone)
      error_message = "zone = ${local.zone} is none of ${join(", ", local.all_zones)}."
    }
    precondition {
      condition     = length(local.all_zones) >= var.num_zones
      error_message = "num_zones = ${var.num_zones}, and the region has ${length(local.all_zones)}."
    }
  }
}

# What a VPC comes with lets its members talk to all the world: taken over, and emptied.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-unused" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each                = { for i, zone in local.zones : zone => i }
  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.vpc_cidr, 8, each.value)
  map_public_ip_on_launch = false # only NAT gateways live here
  tags                    = { Name = "${var.name}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each                = { for i, zone in local.zones : zone => i }
  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.vpc_cidr, 3, each.value + 1)
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-private-${each.key}", "kubernetes.io/role/internal-elb" = "1" }
}

resource "aws_eip" "nat" {
  for_each = local.nat_zones
  domain   = "vpc"
  tags     = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each      = local.nat_zones
  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.public[each.key].id
  tags          = { Name = "${var.name}-${each.key}" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-public" }
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.this.id
  }
}

resource "aws_route_table" "private" {
  for_each = toset(local.zones)
  vpc_id   = aws_vpc.this.id
  tags     = { Name = "${var.name}-private-${each.key}" }
  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.this[var.nat_per_zone ? each.key : local.zone].id
  }
  dynamic "route" {
    for_each = var.peering == null ? [] : [var.peering.cidr]
    content {
      cidr_block                = route.value
      vpc_peering_connection_id = aws_vpc_peering_connection.this[0].id
    }
  }
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[each.key].id
}

# S3 without NAT: shards and checkpoints cost no traffic. Objects may be read from anywhere (image layers, packages),
# and written to our buckets only: code in the network cannot carry data out to a bucket of somebody else.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${data.aws_region.this.name}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat([for table in aws_route_table.private : table.id], [aws_route_table.public.id])
  policy            = jsonencode(local.endpoint_policy)
  tags              = { Name = "${var.name}-s3" }
}

locals {
  endpoint_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Read"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:GetBucketLocation"]
        Resource  = "*"
      },
      {
        Sid       = "WriteOurs"
        Effect    = "Allow"
        Principal = "*"
        Action = [
          "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads",
        ]
        Resource = flatten([for arn in var.bucket_arns : [arn, "${arn}/*"]])
      },
    ]
  }
}
