"""One good record a text shape, in its true form; the tests bend them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["RECORDS"]


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _message(name: str, role: str, text: str, replies: list[dict[str, Any]], **more: object) -> dict[str, Any]:
    return {
        "message_id": name,
        "text": text,
        "role": role,
        "lang": "en",
        "review_result": True,
        "deleted": False,
        "synthetic": False,
        "replies": replies,
        **more,
    }


_FOLLOW_UPS = [
    _message("deep", "assistant", "Ants see less.", [], rank=0),
    _message("deeper", "assistant", "Ants have two eyes.", [], rank=0),
    _message("deepest", "assistant", "No idea.", [], rank=1),
]
_TREE = _message(
    "root",
    "prompter",
    "How do bees see?",
    [
        _message("late", "assistant", "Badly.", [], rank=2, parent_id="root"),
        _message(
            "early", "assistant", "With five eyes.", [_message("ask", "prompter", "And ants?", _FOLLOW_UPS)], rank=0
        ),
        _message("unranked", "assistant", "Hm.", [_message("thanks", "prompter", "Thanks.", [])]),
        _message("middle", "assistant", "With eyes.", [_message("so", "prompter", "So?", _FOLLOW_UPS[:1])], rank=1),
        _message("gone", "assistant", "Spam.", [_message("x", "prompter", "?", _FOLLOW_UPS)], rank=3, deleted=True),
    ],
)

_ARENA_OPENING = ["user", "Draw a clock."]

RECORDS: Mapping[str, dict[str, Any]] = {
    "messages": {
        "id": "t-7",
        "prompt": "Name a bird.",
        "source": "made up",
        "chosen": [_turn("user", "Name a bird."), _turn("assistant", "A wren.")],
        "rejected": [_turn("user", "Name a bird."), _turn("assistant", "A trout.")],
        "chosen_model": "m1",
        "rejected_model": "m2",
        "chosen_rating": 4.5,
        "rejected_rating": 2,
    },
    "shp": {
        "post_id": "qx7",
        "domain": "askbaking_train",
        "upvote_ratio": 0.98,
        "history": "Why did my bread sink?",
        "c_root_id_A": "h1",
        "c_root_id_B": "h2",
        "created_at_utc_A": 1636457112,
        "created_at_utc_B": 1636457000,
        "score_A": 12,
        "score_B": 3,
        "human_ref_A": "Too wet.",
        "human_ref_B": "Bad luck.",
        "labels": 1,
        "seconds_difference": 112.0,
        "score_ratio": 4.0,
    },
    "swe_arena": {
        "type": "code",
        "instruction": "Draw a clock.",
        "chat_session_id": "c1",
        "models": {"model_A": "m1", "model_B": "m2"},
        "feedback": {"vote_type": "vote_left", "correctness": "vote_left", "ui_ux_design": None},
        "states": {
            "model_A": {"messages": [_ARENA_OPENING, ["assistant", "svg"]], "roles": ["user", "assistant"]},
            "model_B": {"messages": [_ARENA_OPENING, ["assistant", "ascii"]], "roles": ["user", "assistant"]},
        },
    },
    "oasst": {"message_tree_id": "root", "tree_state": "ready_for_export", "prompt": _TREE},
    "fine_grained": {
        "question": "When was the bridge built?",
        "passages": [["Old Bridge", "Old Bridge\n\nIt is old.", "It was built in 1901."], ["New Bridge", "It is new."]],
        "gold": "In 1901.",
        "prediction 1": "In 1901.",
        "prediction 2": "In 1902.",
        "prediction 3": "In 1903.",
        "prediction 4": "It was built in 1901.",
        "feedback": {"errors": [], "missing-info": [], "corrected-prediction": "In 1901."},
        "preference": [1, 1, 0, 0, 2, 2],
    },
    "helpsteer3": {
        "domain": "general",
        "language": "english",
        "context": [_turn("user", "Plan a walk."), _turn("assistant", "Where?"), _turn("user", "Here.")],
        "response1": "Go left.",
        "response2": "Go.",
        "overall_preference": -2,
        "individual_preference": [{"score": -2, "reasoning": "clear", "feedback1": "good", "feedback2": "thin"}],
    },
    "pku_saferlhf": {
        "prompt": "How do I open a lock?",
        "response_0": "Ask a locksmith.",
        "response_1": "Push here.",
        "is_response_0_safe": True,
        "is_response_1_safe": False,
        "better_response_id": 1,
        "safer_response_id": 0,
    },
    "pairwise_labels": {
        "instruction": "Name a tree.",
        "output_1": "Oak.",
        "generator_1": "m1",
        "output_2": "Elm, oak, ash.",
        "generator_2": "m2",
        "annotator": "judge",
        "preference": 2,
    },
    "rewardbench": {
        "id": 31,
        "prompt": "Sort: b, a.",
        "chosen": "a, b",
        "chosen_model": "m1",
        "rejected": "b, a",
        "rejected_model": "m2",
        "subset": "made-up",
    },
    "rm_bench": {
        "id": 8,
        "subset": "made-up",
        "prompt": "Name two rivers.",
        "chosen": ["Po, Rhine", "The Po and the Rhine.", "- Po\n- Rhine"],
        "rejected": ["Po, Alps", "The Po and the Alps.", "- Po\n- Alps"],
    },
}
