"""Reinforcement learning of a policy with a reward model: GRPO by TRL, everything around it ours.

    records --prompts--> questions with pictures and right answers, training ones and held-out ones
            --policy---> the language model that learns, with its processor; finished, a model folder
            --trainer--> TRL's SFTTrainer (warm-up, where the recipe asks for it), then its GRPOTrainer
                           rewards    n answers to a prompt -> n rewards: rule, model, hybrid, pairwise, verdict
                                      `matching` tells whether an answer is the right one, `scoring` asks reward models,
                                      `judging` says what a verdict is worth, `consistency` asks another model about it
                           watch      gold reward, length and KL beside the reward: when to end
                           snapshots  Trainer's checkpoint folders -> the output folder, complete or absent
            --worker---> one rank of all that

`sampling` writes n answers to each prompt with their rewards, for best-of-n and as preferences of their own.

The methods: Shao et al. 2024, "DeepSeekMath" (GRPO); Gao et al. 2023, "Scaling laws for reward model overoptimization"
(what is watched); Coste et al. 2024, "Reward model ensembles help mitigate overoptimization" (pessimism).
"""
