"""`basereward train`: one group of workers after the other, until the model is exported.

train (the verb) -> attempts (whether there is another group) -> group (the door to Ray Train, and each worker)
                    coordinator: what driver and workers tell each other; failures: what a dead group died of
                    state: what the folder remembers; record: how long it took and what it cost
"""
