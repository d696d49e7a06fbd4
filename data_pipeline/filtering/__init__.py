"""Which rows are used, how often and in which split: over the signals of all rows; no image is opened, and
no shard but by `grouping`.

    table in UNIT_ROWS_SCHEMA, N rows in plan order, and the config
      --rules-----------> too_long, response_too_short, language, ...     each row by itself
      --apply-----------> duplicate            the same content again
      --near_duplicates-> near_duplicate       similar prompt, responses and images
      --contamination---> contaminated         a benchmark has the prompt or an image
      --split-----------> split_leak           and the split of every row that is left
      --mixture---------> over_cap             and how often an epoch shows a row
      --grouping--------> nothing: the kept rows of one prompt as one, where the recipe asks for it
    apply   runs them in this order -> FilterResult: one reason a row, the first that held, or "" for kept
    finish  units/*.rows.arrow --gather--> signals of all units --apply, count--> rows, quarantine and manifest

Beside them: `columns` (Arrow columns as arrays), `images` (which files show the same picture), `groups` (what an image
or a prompt connects, for splits and for intervals) and `split.split_again` (held-out Comparisons in two parts, for
whoever fits on some and judges on others).

A filter sees only the rows that no earlier one refused. Every decision depends on content and on the order of the
sources in the recipe, never on the order of rows and files inside a source, nor on how they were cut into units. All
but `gather`, `finish`, `split_again`, `grouping` and what `groups` reads of prepared data are pure functions.
"""
