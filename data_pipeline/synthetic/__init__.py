"""A synthetic preference set, written as raw files in the public shapes, that a tiny model learns in minutes.

::

    scenes.py  two coloured shapes in a 112 x 112 picture
    tasks.py   a question about a scene (or about words) and answers with 0, 1 or 2 right attributes
    records.py a task as a raw record of each public shape, and ways to spoil one
    files.py   those as rlaif_v, vlfeedback, captions, ultrafeedback and pairs files, and bad records on purpose

The real adapters read these files, so that a demo runs the same steps as real data::

    report = write_synthetic("data", num_comparisons=2000, seed=0)
    config = PreprocessConfig(data_root="data", sources=report.sources, ...)

What makes it a fair test of a reward model: colours are drawn evenly and independently for both shapes and for every
wrong answer, so no answer is likelier to be right than another until one looks at the pixels (or reads the question);
answers of one Comparison share one wording, so length says nothing; the right answer may be at any index.
"""

from data_pipeline.synthetic.files import SyntheticReport, write_synthetic

__all__ = ["SyntheticReport", "write_synthetic"]
