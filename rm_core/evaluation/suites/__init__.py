"""Published benchmarks, each scored as its authors score it.

    a suite's folder --files--> SuiteData: its files, and a `SuiteItem` a row, counts checked
      -> rows      a row with its pictures
      -> lines     items to score, and the lines with rewards that are kept of them
      -> given     rewards by (suite, index): of our scoring, a stranger's model, a published file
      -> outcomes  right and wrong a row -> `SuiteNumber`: a share or a mean of shares, with its interval
      -> report    `SuiteReport`: the suite's own numbers, and those of every evaluation on the same items

`mm_rlhf_rewardbench`, `vl_rewardbench`, `multimodal_rewardbench`, `rewardbench` and `rm_bench` say how one suite is
read, counted and measured; `registry` is the table of all. `suite` has the types.

Everywhere a row is known by its index, since ids repeat; a pair is right where the better response has strictly the
higher reward, so that a tie is wrong, and counted; an item without rewards is wrong, and counted.
"""
