"""A Comparison as tokens.

    template (chat format) -> tokenizer -> encoder.Encoder -> EncodedComparison; truncate cuts what is too long

`spans` are the places of images and videos among the tokens.
"""
