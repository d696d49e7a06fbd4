"""A registered model: one member or an ensemble, scored the same way for every caller.

``ensemble.json`` -> `served_model.ServedModel`   which members there are, where they lie, how they are combined
rows of a table   -> `served_scorer`              Comparisons -> rewards of each member -> one reward a response
                     `member`                     of one model, whatever its paradigm:
                     `member_scorer`              scalar, a critic that may write first, or a judge
                     `reasoning_member`           a judge that writes why, and whose verdicts are counted
                     `writing_checks`             what is not written about
                     `shared_prompts`             what asks about one prompt, in one Comparison

Requests that come while others are answered, without HTTP and without Ray::

    a row --service.RewardService--> ReadRow --batching.Batcher--> a packed row with others that wait --> its rewards

`chat_text` reads prompts and answers that other programs have made into one text.
"""
