"""A language model behind an OpenAI-compatible address that says which of two answers is better.

    Comparison, its pictures --questions--> each pair, in both orders, `samples` times
      -> endpoint   one request a question, bounded in time, repeated after what may pass
      -> verdicts   1 or 2, read strictly; majorities; wins of each answer: its reward
      -> reasonings what it wrote in front of a verdict that is the record's, for judges that reason
      -> counts     questions, verdicts, places, tokens of a whole file of kept lines

`config` and `endpoint_config` say what a recipe may say. Who asks, keeps lines and goes on after a kill is
`jobs.evaluate.judging`; `rm_core.rl.consistency` asks whether a reasoning agrees with its verdict.
"""
