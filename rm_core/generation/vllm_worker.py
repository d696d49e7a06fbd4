"""The process of `vllm_writer`, run by a Python that has vLLM, and perhaps nothing else of this package's.

    vllm_worker.py SETTINGS ANSWERS     SETTINGS: JSON; ANSWERS: number of the open file that answers go to

Each line of its input asks, and gets a line: ``{"prompts": [{"ids", "images", "seed"}], "seconds"}`` ->
``{"tokens": [a list of lists for each prompt]}``, or ``{"late": true}`` where the seconds are over. It ends with its
input. What vLLM prints goes elsewhere.
"""

import base64
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

_CLASSES = {
    "qwen2_5_vl": ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
    "qwen2_vl": ("qwen2_vl", "Qwen2VLForConditionalGeneration"),
    "qwen3_vl": ("qwen3_vl", "Qwen3VLForConditionalGeneration"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
}
"""Model type -> vLLM's module and class."""
_ARCHITECTURE = "BaserewardWriter"


def main() -> None:
    """Load the model, then answer line after line."""
    with open(sys.argv[1], encoding="utf8") as file:
        settings = json.load(file)
    with open(int(sys.argv[2]), "w", encoding="utf8", buffering=1) as answers:
        engine = _engine(settings)
        answers.write(json.dumps({"ready": True}) + "\n")
        for number, line in enumerate(sys.stdin):
            answers.write(json.dumps(_answer(engine, settings["sampling"], number, json.loads(line))) + "\n")


def _engine(settings: dict[str, Any]) -> Any:
    from vllm import LLM, ModelRegistry

    ModelRegistry.register_model(_ARCHITECTURE, _class_of(settings["model_type"]))
    return LLM(**settings["engine"], hf_overrides={"architectures": [_ARCHITECTURE]}).llm_engine


def _class_of(model_type: str) -> Any:
    """VLLM's class, which also reads names as a backbone by itself has them."""
    from importlib import import_module

    module, name = _CLASSES[model_type]
    base = getattr(import_module(f"vllm.model_executor.models.{module}"), name)

    class Writer(base):  # type: ignore[misc, valid-type]
        def load_weights(self, weights: Iterable[tuple[str, Any]]) -> Any:
            return super().load_weights(_renamed(weights))

    return Writer


def _renamed(weights: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Published models have ``model.``, ``visual.`` and ``lm_head.``; a backbone lacks the first."""
    for name, tensor in weights:
        yield name if name.startswith(("model.", "visual.", "lm_head.")) else f"model.{name}", tensor


def _answer(engine: Any, sampling: dict[str, Any], number: int, asked: dict[str, Any]) -> dict[str, Any]:
    """All prompts at once, step after step of the engine, until they are written or the time is over."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    whole = sampling | {"output_kind": RequestOutputKind.FINAL_ONLY}
    ids = [f"{number}-{place}" for place in range(len(asked["prompts"]))]
    for name, prompt in zip(ids, asked["prompts"], strict=True):
        engine.add_request(name, _prompt(prompt), SamplingParams(seed=prompt["seed"], **whole))
    until_s = None if asked["seconds"] is None else time.monotonic() + asked["seconds"]
    written: dict[str, Any] = {}
    while engine.has_unfinished_requests():
        if until_s is not None and time.monotonic() >= until_s:
            engine.abort_request(ids)
            return {"late": True}
        for output in engine.step():
            if output.finished:
                of_prompt = sorted(output.outputs, key=lambda one: one.index)
                written[output.request_id] = [list(one.token_ids) for one in of_prompt]
    return {"tokens": [written[name] for name in ids]}


def _prompt(asked: dict[str, Any]) -> dict[str, Any]:
    from PIL import Image

    prompt: dict[str, Any] = {"prompt_token_ids": asked["ids"]}
    if asked["images"]:
        images = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in asked["images"]]
        prompt["multi_modal_data"] = {"image": images}
    return prompt


if __name__ == "__main__":
    main()
