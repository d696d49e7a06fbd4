"""A Comparison to tokens.

tokenizer   text ---------------> token ids, from tokenizer.json alone
spans       Image, Video -------> EncodedImage, EncodedVideo: their size, and how many tokens each takes
encoded     a Comparison as tokens, and what its records say of it
encoder     Comparison, media --> EncodedComparison (whole) and Segments (where it may be cut)
truncate    lengths ------------> Cut: turns and ends of responses to cut; filtering decides, the shard reader cuts
joining     EncodedComparisons -> one of them all, with every judgement, where they ask the same
questions   EncodedComparison --> the same as questions to a judge, each about two of its answers
judge_format    what a judge that reasons writes, and the verdict in it
template    the same chat format as a Jinja template, for whoever loads the model folder with transformers
"""
