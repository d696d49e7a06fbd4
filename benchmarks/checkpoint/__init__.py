"""Seconds of a save, of a resumption, and of the first step after it.

`__main__` measures; `ranks` is what each rank does, `resume` the first step, ours and Hugging Face's Trainer's.
"""
