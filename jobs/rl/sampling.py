"""`basereward rl --sample`: prompts -> n answers each with rewards, in parts that a killed run goes on from.

samples.jsonl   a line a prompt, shape ``jsonl``: all answers, ``score`` is the reward; `preprocess` reads it
best.jsonl      a line an answer that is kept, shape ``answered``: the warm-up of ``rl`` reads it
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch
from ray.util import ActorPool

from data_pipeline.errors import MissingInput
from data_pipeline.sources.readers.files import RowRange
from data_pipeline.storage import absolute, exists, join, open_input, private_folder, write_atomic
from jobs.evaluate.score_parts import Part, PartsFolder
from jobs.recipe.schema import Recipe
from jobs.rl.prepare import PromptsOf, checked_config, fingerprint_of, read_prompts, reward_identity, store_of
from jobs.rl.scorers import make_scorer
from jobs.runtime.leases import writes
from jobs.runtime.ray_session import open_cluster, ray_errors
from jobs.runtime.terminal import progress, say, table
from jobs.serve.applications import reading_of_recipe
from jobs.train.run import check_capacity
from rm_core.model_folder.identity import weights_identity
from rm_core.model_folder.remote import local_backbone
from rm_core.rl.config import UNSCORED, RlConfig
from rm_core.rl.consistency import CONSISTENCY_FOLDER, agreement_of
from rm_core.rl.prompts import Prompt
from rm_core.rl.sampling import Sampler, samples_row

__all__ = ["sample_answers"]

logger = logging.getLogger(__name__)

_PROMPTS_A_PART = 16
_DIED = "a process that writes answers died, most likely out of memory: the same command goes on"


@dataclass(frozen=True, kw_only=True)
class _SamplingJob:
    config: RlConfig
    store: str | None
    reading: Mapping[str, Any]


class _SamplingActor:
    """A policy and a reward model in a process of their own."""

    def __init__(self, job: _SamplingJob) -> None:
        config = job.config
        if not torch.cuda.is_available():
            torch.set_num_threads(config.threads_per_worker)
        scorer = None
        if config.reward.kind not in UNSCORED:
            scorer = make_scorer(config.reward.model, config.reward, job.store, job.reading)
        policy = local_backbone(config.sample.policy or config.policy, private_folder("cache"))
        agreement = agreement_of(
            config.reward.consistency, join(config.sample.output, CONSISTENCY_FOLDER), logger.warning
        )
        self._sampler = Sampler(config, policy, scorer, agreement)
        self._keep = config.sample.keep

    def part(self, number: int, prompts: Sequence[Prompt]) -> tuple[int, list[str]]:
        """The part's number, and of each prompt its line of ``samples.jsonl``."""
        return number, [
            f"{json.dumps(samples_row(prompt, found, self._keep))}\n"
            for prompt, found in zip(prompts, self._sampler.sample(prompts), strict=True)
        ]


@writes("rl.sample.output")
def sample_answers(recipe: Recipe) -> None:
    """Write what `recipe.rl.sample` says.

    Raises:
        UserError: the prompts, the policy or the reward model is not there.
        RunError: a process died; what is done is kept.
    """
    config = checked_config(recipe)
    sample = replace(
        config.sample,
        output=absolute(config.sample.output),
        policy=None if config.sample.policy is None else absolute(config.sample.policy),
    )
    config = replace(config, sample=sample)
    policy = sample.policy or config.policy
    if not exists(join(policy, "config.json")):
        raise MissingInput(f"rl.sample.policy={policy!r} holds no config.json: name the folder of a language model")
    source = PromptsOf(data_root=absolute(recipe.data_root), config=config, recipe=recipe)
    prompts = read_prompts(source, sample.limit)
    output = join(sample.output, "samples.jsonl")
    folder = PartsFolder(output, _identity(config, policy, fingerprint_of(prompts)))
    tally = folder.finished()
    if tally is not None:
        say(f"{recipe.rl.sample.output} is finished already: nothing to do")
    else:
        parts = _ranges(len(prompts.prompts))
        _write_missing(recipe, config, folder, prompts.prompts, parts)
        folder.publish(parts)
    _write_best(sample.output, output, config)


def _write_missing(
    recipe: Recipe, config: RlConfig, folder: PartsFolder, prompts: Sequence[Prompt], parts: Sequence[RowRange]
) -> None:
    """The parts that are left, on the recipe's cluster."""
    done = folder.open()
    missing = [rows for rows in parts if rows.start not in done]
    if not missing:
        return
    already = len(prompts) - sum(rows.count for rows in missing)
    job = _SamplingJob(config=config, store=store_of(recipe), reading=reading_of_recipe(recipe))
    with (
        open_cluster(recipe.cluster) as cluster,
        ray_errors(_DIED),
        progress("sample prompts", len(prompts), already) as advance,
    ):
        check_capacity(config, cluster, "rl")
        actor: Any = ray.remote(_SamplingActor)
        options = {"num_cpus": config.threads_per_worker, **({"num_gpus": 1} if cluster.on_gpus else {})}
        actors = [actor.options(**options).remote(job) for _ in range(min(config.num_workers, len(missing)))]
        try:
            tasks = [(number, prompts[rows.start : rows.start + rows.count]) for number, rows in enumerate(missing)]
            for number, lines in ActorPool(actors).map_unordered(lambda one, task: one.part.remote(*task), tasks):
                part = Part(missing[number])
                for line in lines:
                    part.add(line, None)
                folder.write(part, {})
                already += len(lines)
                advance(already, "")
        finally:
            for one in actors:
                ray.kill(one)


def _write_best(folder: str, samples: str, config: RlConfig) -> None:
    """``best.jsonl``, of what each line of the samples says is kept; and the counts."""
    lines, answers, right, num_prompts, tokens, seconds = [], 0, 0, 0, 0, 0.0
    with open_input(samples) as file:
        for text in file:
            row = json.loads(text)
            num_prompts += 1
            answers += len(row["responses"])
            right += sum(one["right"] for one in row["responses"])
            tokens += row["tokens"]
            seconds += row["seconds"]
            asked = {name: row[name] for name in ("id", "prompt", "image") if name in row}
            lines += [json.dumps({**asked, "answer": answer}) for answer in row["kept"]]
    write_atomic(join(folder, "best.jsonl"), "".join(f"{line}\n" for line in lines).encode())
    rows = [
        ("prompts", f"{num_prompts:,}"),
        ("different answers", f"{answers:,}"),
        ("right by the rule", f"{right:,}"),
        (f"kept ({config.sample.keep})", f"{len(lines):,}"),
        ("tokens written", f"{tokens:,}"),
        ("seconds of writing", f"{seconds:,.1f}"),
    ]
    table(f"Answers in {folder}", rows)


def _ranges(count: int) -> list[RowRange]:
    return [RowRange(start, min(_PROMPTS_A_PART, count - start)) for start in range(0, count, _PROMPTS_A_PART)]


def _identity(config: RlConfig, policy: str, fingerprint: str) -> dict[str, Any]:
    """Everything that decides the samples."""
    return {
        "format": 1,
        "prompts": fingerprint,
        "policy": weights_identity(policy),
        "reward": reward_identity(config.reward),
        "number": config.sample.number,
        "keep": config.sample.keep,
        "temperature": config.temperature,
        "max_answer_tokens": config.max_answer_tokens,
        "precision": config.precision,
        "seed": config.seed,
    }
