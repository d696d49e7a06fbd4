"""What a recipe may say about reinforcement learning: the section ``rl``."""

from dataclasses import dataclass, field
from typing import Any

from data_pipeline.bounds import bounded, one_of
from data_pipeline.config import SourceConfig
from rm_core.evaluation.judge.endpoint_config import EndpointConfig
from rm_core.train_config.config import WorkerGroupConfig

__all__ = [
    "UNSCORED", "ConsistencyConfig", "RewardConfig", "RlConfig", "RuleConfig", "SampleConfig", "WarmUpConfig",
    "WatchConfig",
]  # fmt: skip

UNSCORED = ("rule", "verdict")
"""Kinds of reward that ask no reward model."""
REWARDS = ("rule", "model", "hybrid", "pairwise", "verdict")
_AGREES = """\
Below are a reasoning about two answers, which it calls answer 1 and answer 2 or the first and the second, and the \
verdict behind it. Decide whether the reasoning leads to this verdict. Whether either of them is right means nothing.

[Reasoning]
{reasoning}
[End of the reasoning]

[Verdict]
Answer {verdict} is better.
[End of the verdict]

End with one word alone: <answer>yes</answer> or <answer>no</answer>."""


@dataclass(kw_only=True)
class RuleConfig:
    """When an answer is the right one.

    What is found in it and the right answer are compared as texts, without regard to case, spaces around them, and a
    full stop at the end.
    """

    pattern: str | None = None
    """A regular expression of what counts in an answer, such as ``<answer>(.*?)</answer>`` or ``red|green|blue``: its
    first group, or all of it; unset: the whole answer counts."""
    take: str = one_of("last", ("first", "last", "all"))
    """Of several places that the pattern finds: the first, the last, or all of them, joined by spaces."""
    in_reference: bool = False
    """Whether the pattern is looked for in the right answer too, as where that is a sentence."""


@dataclass(kw_only=True)
class ConsistencyConfig(EndpointConfig):
    """A language model behind an OpenAI-compatible address, which says whether a reasoning agrees with its verdict."""

    url: str | None = None
    """Where its API begins, such as ``http://host:8000/v1``; ``/chat/completions`` below it is asked. Unset: the last
    answer that the reasoning names has to be the one that wins."""
    template: str = _AGREES
    """The question, which is answered by ``yes`` or ``no``; ``{reasoning}`` and ``{verdict}`` stand for what the policy
    wrote, each once."""
    concurrency: int = bounded(8, at_least=1, at_most=512)
    """Questions that each worker has under way at once."""
    unanswered: str = one_of("fail", ("fail", "leave"))
    """What a question without an answer after all tries does: ``fail`` the training, which goes on from its last
    checkpoint, or ``leave`` its text: nothing is learnt from it."""


@dataclass(kw_only=True)
class RewardConfig:
    """What an answer of the policy is worth."""

    kind: str = one_of("hybrid", REWARDS)
    """``rule``: 1 for the right answer, else 0. ``model``: the reward model's reward. ``hybrid``: 1 for the right
    answer, else the sigmoid of the reward. ``pairwise``: the sum over all other answers to the prompt of the
    probability that this one is better, as a judge is used; of 8 answers 56 ordered pairs are asked for. ``verdict``:
    the policy is a judge that reasons, prompts are preferences, and it is asked about each pair of their answers: 1 for
    the right verdict, 0.5 more where its reasoning agrees, and 0.5 for the form."""
    model: str = "train/export"
    """The reward model, which each worker loads: a folder, or an address of MLflow (``models:/NAME@ALIAS``); an
    ensemble is one too."""
    url: str | None = None
    """Where `basereward serve` answers for it, in place of loading it: ``http://HOST:PORT``."""
    patience_s: float = bounded(600.0, at_least=0)
    """Seconds for which a server is asked again that does not answer."""
    pessimism: float = bounded(0.0, at_least=0)
    """Of an ensemble: so many standard deviations over its members are taken off each reward."""
    rule: RuleConfig = field(default_factory=RuleConfig)
    """When an answer is right."""
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    """Of ``verdict``: who says whether a reasoning agrees with its verdict."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row of the reward model holds at most."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches a packed row of the reward model holds at most."""


@dataclass(kw_only=True)
class WarmUpConfig:
    """Supervised fine-tuning of the policy before, on the answers of the same prompts."""

    steps: int = bounded(0, at_least=0)
    """Optimiser steps; 0: none."""
    answers: str = one_of("best", ("best", "all"))
    """What it learns to write: the best answer of each record, or all of them, good and bad."""
    learning_rate: float = bounded(1e-5, above=0)
    """Peak learning rate, after a warm-up over a twentieth of the steps, with a linear decay."""
    batch: int = bounded(32, at_least=1)
    """Answers of one step, of all workers."""


@dataclass(kw_only=True)
class WatchConfig:
    """Over-optimisation: the reward rises while what it stands for falls. Looked for on held-out prompts."""

    every: int = bounded(50, at_least=0)
    """Steps between two looks, each with a checkpoint; 0: none, and nothing is held out."""
    heldout_fraction: float = bounded(0.1, at_least=0, below=1)
    """Share of the prompts that are only looked at, chosen by their content."""
    max_prompts: int = bounded(128, at_least=1)
    """Held-out prompts of a look at most."""
    gold: str = "rule"
    """What the reward stands for: ``rule``, or another, better reward model (as `reward.model`)."""
    patience: int = bounded(2, at_least=0)
    """Looks one after the other in which gold lies below its best, while the reward does not, before the training
    ends; 0: it never does."""
    tolerance: float = bounded(2.0, at_least=0)
    """How many standard errors below its best gold has to lie."""
    max_length_ratio: float | None = bounded(None, above=1)
    """End where answers are on average so many times as long as at the first look; unset: never."""
    max_kl: float | None = bounded(None, above=0)
    """End where the policy is so far, in nats a token, from where it began; needs `grpo.beta`; unset: never."""


@dataclass(kw_only=True)
class SampleConfig:
    """Answers written with rewards (`basereward rl --sample`)."""

    policy: str | None = None
    """The folder of the policy that answers, such as ``runs/NAME/rl/export``; unset: `rl.policy`."""
    output: str = "samples"
    """The folder for ``samples.jsonl``, all answers with their rewards, and ``best.jsonl``."""
    number: int = bounded(8, at_least=1, at_most=1024)
    """Answers to each prompt."""
    keep: str = one_of("best", ("best", "right", "all"))
    """What ``best.jsonl`` has of each prompt: the ``best`` answer by the reward (best-of-n), the best of those that the
    rule finds ``right`` (rejection sampling; prompts without one are left out), or ``all``."""
    limit: int | None = bounded(None, at_least=1)
    """The first so many prompts only; unset: all."""


@dataclass(kw_only=True)
class RlConfig:
    """Train a policy by GRPO with rewards of a reward model (`basereward rl`)."""

    policy: str = "model"
    """The folder of the language model that learns: whole weights as on the hub, with its tokenizer."""
    prompts: list[SourceConfig] = field(default_factory=list)
    """Where the prompts come from: records of any shape; their best response is the right answer."""
    output: str = "rl"
    """The folder for checkpoints, the warmed-up policy and ``export``, the finished one."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """What an answer is worth."""
    warm_up: WarmUpConfig = field(default_factory=WarmUpConfig)
    """Supervised fine-tuning before."""
    watch: WatchConfig = field(default_factory=WatchConfig)
    """Over-optimisation."""
    sample: SampleConfig = field(default_factory=SampleConfig)
    """Answers written with rewards, in place of a training."""
    num_workers: int = bounded(1, at_least=1)
    """Processes that train, one a GPU."""
    threads_per_worker: int = bounded(1, at_least=1)
    """CPUs of each, and threads that it computes on without a GPU."""
    batch: int = bounded(256, at_least=1)
    """Answers of one step, of all workers: a multiple of `num_generations` times `num_workers`."""
    micro_batch: int | None = bounded(None, at_least=1)
    """Answers that one worker runs forward and backward at once; a divisor of its share of the batch; unset: all."""
    num_generations: int = bounded(8, at_least=2)
    """Answers to each prompt, whose rewards are compared."""
    epochs: int = bounded(1, at_least=1)
    """Passes over the prompts, where `max_steps` does not say otherwise."""
    max_steps: int | None = bounded(None, at_least=1)
    """Optimiser steps; unset: `epochs` decides."""
    learning_rate: float = bounded(1e-6, above=0)
    """Constant learning rate of AdamW, after a warm-up over a twentieth of the steps."""
    temperature: float = bounded(1.0, above=0)
    """How freely answers are sampled."""
    max_prompt_tokens: int = bounded(4096, at_least=1)
    """A prompt with more, those of its pictures with it, is refused."""
    max_answer_tokens: int = bounded(1024, at_least=1)
    """An answer that is longer ends there."""
    zero: int | None = bounded(None, at_least=1, at_most=3)
    """Stage of DeepSpeed ZeRO; unset: every worker holds the whole policy and its optimiser."""
    precision: str = one_of("bf16", ("bf16", "fp32"))
    """What the policy is computed in."""
    grpo: dict[str, Any] = field(default_factory=dict)
    """More fields of TRL's GRPOConfig, by name, such as ``{beta: 0.001, loss_type: dr_grpo, use_vllm: true}``."""
    checkpoint_every: int = bounded(50, at_least=1)
    """Steps between two checkpoints; a divisor of `watch.every`."""
    keep_checkpoints: int = bounded(2, at_least=1)
    """Newest ones that are kept, and beside them the best by gold."""
    export_weights: str = one_of("best", ("best", "last"))
    """Which weights are exported: those of the look with the best gold, or of the last step."""
    log_every: int = bounded(1, at_least=1)
    """Steps between two points in MLflow."""
    seed: int = bounded(0, at_least=0)
    """Order of the prompts, and what is sampled."""
    stall_timeout_s: float = bounded(1800.0, at_least=60)
    """Seconds, and ten minutes more, that workers wait for each other at most."""
    stop_grace_s: float = bounded(120.0, at_least=0)
    """Seconds that a training which is asked to stop has for its step and a checkpoint."""
    group: WorkerGroupConfig = field(default_factory=WorkerGroupConfig)
    """Placement of the workers, and how often the group is started again."""
