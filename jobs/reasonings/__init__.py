"""`basereward write-reasonings`: data for judges that reason, from preferences and a language model behind an address.

sources of the recipe -> Comparisons --`jobs.evaluate.judging`--> NAME.jsonl: the same with reasonings, which
preprocessing reads (`EncodeConfig.reasonings`)
"""
