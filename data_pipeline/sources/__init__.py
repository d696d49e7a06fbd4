"""Public preference sets, as published, to Comparisons.

Two steps, both driven by the pipeline::

    file  --readers.read_rows-->  (row number, raw dict)  --registry.adapter_of(shape)-->  Comparison

``readers.py`` knows files (.jsonl, .jsonl.gz, .json, .parquet) and nothing of preferences. One adapter file a record
shape knows fields and nothing of files: ``to_comparison(record, source, row)`` is a pure function that returns a
Comparison, or raises RecordError with a countable reason. ``registry.py`` is the one table of shapes.

==============  ================================  =======================================================  ============
shape           record                            preference                                               images
==============  ================================  =======================================================  ============
jsonl           any JSON object, by a field map   ``chosen``/``rejected``, or K ``responses`` with scores  path or bytes
rlaif_v         RLAIF-V parquet row               ``chosen``/``rejected``                                  embedded
vlfeedback      VLFeedback record, K = 4          mean of the ratings of each completion                   path or bytes
ultrafeedback   UltraFeedback record, K = 4       mean of four aspect ratings, or a named score            none
hh_rlhf         HH-RLHF pair of whole dialogues   ``chosen``/``rejected``                                  none
==============  ================================  =======================================================  ============

Row numbers count from 0; in JSON lines they are line numbers less one, blank lines included.

Reasons raised here: malformed_record, missing_field, wrong_field_type, unparsable_label, prompts_differ,
malformed_dialogue, image_slot_mismatch, missing_media, broken_image. Whether a Comparison is worth keeping
(empty answers, all ties, ...) is asked later, of all shapes alike, by ``clean.py``.
"""
