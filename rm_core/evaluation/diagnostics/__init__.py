"""What a score may rest on besides the answers: their length, their place, their format, or no picture at all.

    scored Comparisons        -> `rules`: does the model choose as "the longer one" or "the first one" would?
    the same, changed         `probes`, by name; `texts` and `pictures` make the change, `donors` other pictures
      -> rewards again        -> `probes`: what of the accuracy is left, and which answers a change makes win
    both                      -> `diagnose.Diagnostics`, with the shortcuts that explain the score

A shortcut is called so by intervals, never by a size that somebody chose: see `diagnose`.
"""
