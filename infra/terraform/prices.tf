# Sums of what the sizing variables say; AWS is not asked.

locals {
  # The dearest way of buying a group, since the last choice may be the one that is to be had.
  dearest = {
    for group, it in var.worker_groups : group => max([for purchase in it.purchase : purchase == "spot" ? it.spot_price_per_hour : it.price_per_hour]...)
  }

  fixed = sum([
    var.fixed_prices.nat_gateway * (var.network.nat_per_zone ? var.network.num_zones : 1),
    var.fixed_prices.load_balancer,
    var.fixed_prices.database * (var.database.multi_az ? 2 : 1),
    var.fixed_prices.mlflow_server * var.mlflow.servers,
    var.kubernetes == null ? 0 : var.fixed_prices.kubernetes + var.fixed_prices.kubernetes_systems,
  ])
  workers_min = sum(concat([0], [for group, it in var.worker_groups : it.min_nodes * local.dearest[group]]))
  workers_max = sum(concat([0], [for group, it in var.worker_groups : it.max_nodes * local.dearest[group]]))
}
