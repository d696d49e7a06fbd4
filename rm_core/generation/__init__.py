"""Text that a model writes behind a response: critiques and reasoned verdicts, by sampling token after token.

    open branches of a Comparison [prefix | response 1, its question for a critique | ...]
      -> `Writer.write` (interface.py)   n texts a branch, each with its tokens
           transformers_writer.py        Transformers' generation over backbone and language head, on any device

`config` says where critiques come from, what judges are asked, and how both are sampled.
"""
