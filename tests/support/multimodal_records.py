"""One good record a multimodal shape, in its true form but with paths for bytes; the tests bend them."""

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["NUMBERED_PROMPT", "R1_JUDGED", "RECORDS", "V1_DIALOGUES"]


def _said(speaker: str, value: str) -> dict[str, str]:
    return {"from": speaker, "value": value}


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _v1(role: str, *items: dict[str, str]) -> dict[str, Any]:
    return {"role": role, "content": list(items), "loss_weight": float(role == "assistant")}


_ASKED = "<image>\nWhich bird is it?"
_ARENA_PROMPT = (
    "<|User Prompt|>\nWhich bird is it?\n\n<|The Start of Assistant A's Answer|>\nA wren.\n"
    "<|The End of Assistant A's Answer|>\n\n<|The Start of Assistant B's Answer|>\nA trout.\n"
    "<|The End of Assistant B's Answer|>"
)
NUMBERED_PROMPT = (
    "Compare the two.\n\n###### **Input:**  \n###### [Question]:\nWhich bird is it?  \n\n"
    "###### [Response 1]:\nA trout.  \n\n###### [Response 2]:\nA wren, in C#.  \n\n"
    "###### **Output Format (strictly follow):**  \n<think>...</think><answer>1/2</answer>"
)

RECORDS: Mapping[str, dict[str, Any]] = {
    "vl_rewardbench": {
        "id": "hallucination_pair-7",
        "query": "Which bird is it?",
        "response": ["A trout.", "A wren."],
        "image": "images/hallucination_pair-7.png",
        "human_ranking": [1, 0],
        "models": ["m1", "m2"],
        "judge": "human",
        "rationale": "",
        "query_source": "made up",
        "ground_truth": "",
    },
    "mm_rlhf": {
        "id": "v1_7",
        "video": "video/v1",
        "prompt": "What does the bird do?",
        "chosen": "It sings.",
        "rejected": "It swims.",
        "chosen_reason": "right",
        "rejected_reason": "wrong",
    },
    "sharegpt": {
        "conversations": [
            _said("system", "Be brief."),
            _said("human", "<image>Which bird is it?"),
            _said("gpt", "A wren."),
            _said("human", "And this?<image>"),
        ],
        "chosen": _said("gpt", "The same one."),
        "rejected": _said("gpt", "A trout."),
        "images": ["birds/1.jpg", "birds/1.jpg"],
    },
    "trl": {
        "images": ["birds/1.jpg"],
        "prompt": [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which bird is it?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A small one."}]},
            {"role": "user", "content": [{"type": "text", "text": "Its name?"}]},
        ],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "A wren."}]}],
        "rejected": [{"role": "assistant", "content": [{"type": "text", "text": "A trout."}]}],
        "score_chosen": 8.5,
        "score_rejected": 2,
    },
    "swift": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "<image>Which bird is it?"},
            {"role": "assistant", "content": "A wren.", "loss": True},
        ],
        "rejected_response": "A trout.",
        "images": ["birds/1.jpg"],
    },
    "openai": {
        "input": {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Which bird is it?"},
                        {"type": "image_url", "image_url": {"url": "birds/1.jpg", "detail": "low"}},
                    ],
                }
            ],
            "tools": [],
            "parallel_tool_calls": True,
        },
        "preferred_output": [{"role": "assistant", "content": "A wren."}],
        "non_preferred_output": [{"role": "assistant", "content": "A trout."}],
    },
    "mmif": {
        "images": ["images/7.jpg"],
        "conversations": [_said("human", "<image>\nName the bird in one word.")],
        "chosen": _said("gpt", "Wren."),
        "rejected": _said("gpt", "It is a wren."),
    },
    "multimodal_rewardbench": {
        "ID": "nocaps_7",
        "Text": "Describe the picture.",
        "Image": "images/nocaps/7.jpg",
        "Output1": "A trout.",
        "Output2": "A wren.",
        "Better": "Output2",
        "Category": "open_generation/correctness_task",
    },
    "mmpr": {
        "image": "7.png",
        "question": "<image>\nWhich bird is it?",
        "chosen": "A wren.",
        "rejected": "A trout.",
    },
    "rlhf_v": {
        "ds_name": "RLHF-V",
        "image": {"bytes": None, "path": "llava/7.jpg"},
        "text": json.dumps({"question": "Which bird is it?", "chosen": "A wren.", "rejected": "A trout."}),
        "origin_dataset": "made up",
        "origin_split": "{}",
        "idx": 7,
        "image_path": "llava/7.jpg",
    },
    "povid": {
        "id": "COCO_train2014_7",
        "image": "COCO_train2014_7.jpg",
        "conversations": [_said("human", _ASKED), _said("gpt", "A wren.")],
        "rejected_conversations": [_said("human", _ASKED), _said("gpt", "A trout.")],
    },
    "omnialign_v": {
        "id": "chart_7",
        "image": "images/chart/7.png",
        "prompt": "What does the chart say?",
        "chosen": "Wrens grow in number.",
        "rejected": "Nothing.",
    },
    "imagereward": {
        "id": "000904-0035",
        "prompt": "a wren on a branch, oil on canvas",
        "generations": ["images/904/0.png", "images/904/1.png", "images/904/2.png", "images/904/3.png"],
        "ranking": [1, 2, 5, 2],
    },
    "r1_reward": {
        "id": "hallucination_pair-7",
        "prompt": "Which bird is it?",
        "chosen": "A wren.",
        "rejected": "A trout.",
        "image": "vl_reward/img/image_7.jpg",
        "chosen_reason": "",
        "rejected_reason": "",
    },
    "wildvision_battles": {
        "question_id": "q7",
        "model_a": "m1",
        "model_b": "m2",
        "conversation_a": [_turn("user", "Which bird is it?"), _turn("assistant", "A wren.")],
        "conversation_b": [_turn("user", "Which bird is it?"), _turn("assistant", "A trout.")],
        "language": "English",
        "image": {"bytes": None, "path": "7.png"},
        "turn": 1,
        "anony": True,
        "winner": "model_a",
        "judge": "someone",
    },
    "wildvision_votes": {
        "question_id": "q7",
        "model": "m2",
        "judge": "m3",
        "games": [
            {
                "user_prompt": [{"type": "text", "text": _ARENA_PROMPT}, {"type": "image", "image": "0f3a"}],
                "judgement": "My final verdict: [[A>>B]]",
                "score": "A>>B",
            }
        ],
    },
    "mdpo": {
        "img_path": "7.jpg",
        "prompt": "A chat between two. USER: <image>\nWhich bird is it? ASSISTANT:",
        "chosen": "A wren.",
        "rejected": "A trout.",
    },
    "answered": {"id": "7", "image": "7.jpg", "prompt": "Which bird is it?", "options": ["A) A wren"], "answer": "A"},
    "llava_rlhf": {
        "id": "7",
        "image": "7.jpg",
        "conversations": [
            _said("human", _ASKED),
            _said("gpt", "A wren."),
            _said("human", "And its size?"),
            _said("gpt", "It is small."),
        ],
        "output_1": _said("llava", "As big as a trout."),
        "output_2": _said("llava", "Ten centimetres."),
        "preference": 2,
    },
    "llava_critic": {
        "id": "7",
        "source": "made up",
        "conversations": [
            _said(
                "human",
                "<image>\nJudge fairly. Your task is provided as follows:\nQuestion: [Which bird is it?]\n"
                "The first response: [A wren.]\nThe second response: [A trout.]\nASSISTANT:\n",
            ),
            _said("gpt", "The first one names the bird. The better response: [first]"),
        ],
        "image": {"bytes": None, "path": "7.jpg"},
    },
}

R1_JUDGED: Mapping[str, Any] = {
    "question": "Which bird is it?",
    "message": json.dumps(
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": NUMBERED_PROMPT},
                    {"type": "image", "image": "/elsewhere/7.jpg"},
                ],
            }
        ]
    ),
    "answer": ["<answer>2</answer>"],
    "image": "iVBORw0KGgo=",
}


def _opening() -> list[dict[str, Any]]:
    return [
        _v1("system", {"type": "text", "value": "Be brief."}),
        _v1("user", {"type": "text", "value": "Which bird? "}, {"type": "image_url", "value": "birds/1.jpg"}),
    ]


V1_DIALOGUES: Mapping[str, Any] = {
    "chosen_messages": [*_opening(), _v1("assistant", {"type": "text", "value": "A wren."})],
    "rejected_messages": [*_opening(), _v1("assistant", {"type": "text", "value": "A trout."})],
}
