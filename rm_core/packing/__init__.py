"""Which Comparisons a training shows in which step and row: a pure function of lengths, seed and step.

    columns of the prepared rows
      -> `epoch.epoch_table`       of the training split: Comparisons, groups of one prompt, or questions about them
      -> `sizes.PlanningTable`    26 bytes a Comparison: lengths, counts and cost (`row_sizes`); no data is read
      -> `order`                  an endless shuffled stream: a keyed permutation of each epoch
      -> `plan.Plan`              step i -> its Comparisons, in packs under the budgets (`first_fit`)
      -> `plan.Plan.schedule`     the packs of each rank: as many for every rank, of about equal cost (`balance`)

`plan.StagedPlan` puts the plans of several stages one after the other. `whole.WholeTable` shows every Comparison
once, in packs that no number of ranks changes: for evaluations.
"""
