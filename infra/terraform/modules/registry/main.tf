resource "aws_ecr_repository" "this" {
  for_each             = toset(["train", "mlflow"])
  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE" # what ran under a tag can always be had again
  force_delete         = !var.protect

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each   = aws_ecr_repository.this
  repository = each.value.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "keep the newest ${var.kept_images}"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.kept_images }
      action       = { type = "expire" }
    }]
  })
}
