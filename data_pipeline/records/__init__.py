"""The one record of the system, and what is asked of it before anything is read.

    comparison   Comparison: a prompt, its media and K ranked responses; sources build it, everything later reads it
    selection    Comparison -> Comparison: the best and the worst response only, videos as their frames
    checks       Comparison -> nothing, or RecordError where it can't be learnt from; its content key

Pure functions of one Comparison: no file, no tokenizer, no other record.
"""
