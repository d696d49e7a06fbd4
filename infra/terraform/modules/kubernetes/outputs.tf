output "kubernetes" {
  description = "The cluster and its node groups."
  value = {
    cluster_name    = aws_eks_cluster.this.name
    endpoint        = aws_eks_cluster.this.endpoint
    namespace       = var.settings.namespace
    service_account = var.settings.service_account
    node_groups = {
      for key, it in local.groups : key => {
        group          = it.group
        purchase       = it.purchase
        instance_type  = it.instance_type
        gpus_per_node  = it.gpus_per_node
        efa_interfaces = it.efa_interfaces
        min_nodes      = it.min_nodes
        max_nodes      = it.max_nodes
      }
    }
  }
}
