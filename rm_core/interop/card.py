"""The README of an exported model: what it is, and how each program loads it; no path of this machine stands in it."""

from collections.abc import Mapping
from typing import Any

from data_pipeline.encoding.reading import Reading
from data_pipeline.storage import is_local, name_of
from rm_core.model.config import HeadConfig

__all__ = ["export_card"]

_CARD = """\
---
library_name: transformers
tags: [reward-model]
---

# A scalar reward model

It reads a chat that ends with an answer, and gives one number: the higher, the better. Only rewards of answers to the
same prompt can be compared. `{architecture}` has {layers} on the last token, {end}; the chat template ends there.

## Transformers

{needs_package}

```python
{import_loader}
from transformers import {reader}

model = {loader}("this/folder")
reader = {reader}.from_pretrained("this/folder")
chat = [
    {{"role": "user", "content": {question}}},
    {{"role": "assistant", "content": [{{"type": "text", "text": "Red."}}]}},
]
inputs = reader.apply_chat_template([chat], tokenize=True, return_dict=True, return_tensors="pt")
reward = model(**inputs).logits.item()
```

## vLLM

{vllm}

## basereward

`basereward import-model RECIPE import_model.source=this/folder` makes it a model that `score`, `evaluate` and `train`
take.
{origin}"""
_SERVED = """\
{needs_plugin}

```sh
vllm serve this/folder --runner pooling
```

It answers `/classify` with `messages` like the chat above and `"add_generation_prompt": false`."""
_QUESTION = '[{"type": "text", "text": "What colour is the bus?"}]'
_SHOWN = '[{"type": "image", "image": "bus.jpg"}, {"type": "text", "text": "What colour?"}]'
_ENDS = {"end_of_turn": "`<|im_end|>`", "line_break": "the line break behind `<|im_end|>`"}


def export_card(
    architecture: str,
    head: HeadConfig,
    reading: Reading,
    lineage: Mapping[str, Any],
    *,
    own_class: bool,
    images: bool,
    in_vllm: bool,
) -> str:
    """Markdown with the metadata block that model hubs read.

    Args:
        lineage: where the model came from; texts are shown, of a local path its last part.
        own_class: Transformers and vLLM load it with a class of the package `basereward`.
        images: whether it reads them.
        in_vllm: whether vLLM has a class for it, its own or ours.
    """
    package = "The package `basereward` registers the class; Transformers has none for this head and backbone."
    plugin = (
        "The package `basereward` beside vLLM gives it the class, as a plugin; its other dependencies are not needed."
    )
    return _CARD.format(
        architecture=architecture,
        layers="one linear layer" if head.layers == 1 else f"{head.layers} layers with {head.activation} between them",
        end=_ENDS[reading.encode.answer_end],
        needs_package=package if own_class else "The class is Transformers' own.",
        import_loader="from rm_core import load_reward_model"
        if own_class
        else "from transformers import AutoModelForSequenceClassification",
        loader="load_reward_model" if own_class else "AutoModelForSequenceClassification.from_pretrained",
        reader="AutoProcessor" if images else "AutoTokenizer",
        question=_SHOWN if images else _QUESTION,
        vllm=_SERVED.format(needs_plugin=plugin if own_class else "vLLM loads it by itself.")
        if in_vllm
        else "There is no class for this backbone yet: vLLM refuses it.",
        origin=_origin(lineage),
    )


def _origin(lineage: Mapping[str, Any]) -> str:
    facts = [f"| {name.replace('_', ' ')} | `{_shown(value)}` |" for name, value in sorted(lineage.items())
             if isinstance(value, str)]  # fmt: skip
    return "\n".join(["", "## Origin", "", "| what | |", "| --- | --- |", *facts, ""]) if facts else ""


def _shown(value: str) -> str:
    """The name of a local folder, which is a path of one machine; other texts as they are."""
    return name_of(value.rstrip("/")) if is_local(value) and "/" in value else value
