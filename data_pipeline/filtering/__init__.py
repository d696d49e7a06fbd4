"""Which rows are used, how often and on which side: pure functions over the signals of all rows; no file is opened.

    table in UNIT_ROWS_SCHEMA, N rows in plan order, and the config
      --rules-----------> too_long, response_too_short, language, ...     each row by itself
      --duplicates------> duplicate            the same content again
      --near_duplicates-> near_duplicate       similar prompt, responses and images
      --contamination---> contaminated         a benchmark has the prompt or an image
      --split-----------> split_leak           and the side of every row that is left
      --mixture---------> over_cap             and how often an epoch shows a row
      ------------------> marking.Marked       one mark a row: the first reason, or "" for kept

Every step sees only the rows that no earlier step marked. Every decision depends on content and on the order of the
sources in the recipe, never on the order of rows and files inside a source, nor on how they were cut into units.
"""
