"""WildVision: votes of people on two models' answers (battles), and verdicts of a judge with a margin (votes).

::

    {"question_id": "q7", "model_a": "m1", "model_b": "m2", "winner": "model_a", "image": {"bytes": ..., "path": ...},
     "conversation_a": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A wren."}],
     "conversation_b": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A trout."}]}

    {"question_id": "q7", "model": "m2", "judge": "m3", "games": [{"score": "B>>A", "judgement": "...", "user_prompt":
        [{"type": "text", "text": "<|User Prompt|>..."}, {"type": "image", "image": "<sha256>"}]}]}

A battle's ``winner`` is ``model_a``, ``model_b`` or a tie. Its sides may also be single texts (``conversation_a`` or
``output_a``, and b), under the ``instruction`` (or ``question``) of the record: what a join of the list of battles with
the models' answers gives. A game is one Comparison: ``A>>B`` gives the scores 2 and 0, ``A>B`` 1 and 0, ``A=B`` a tie,
so that the difference of the scores is the margin.

Awkward: dialogues of several rounds have no common prompt (refused, ``prompts_differ``); some scores are null, empty
or free text, where the judge went astray (refused, ``unparsable_label``); answers of a game stand in the judge's prompt
only; the list of battles without answers repeats a row as a weight, and cannot be used alone.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn, ranks_from_scores
from data_pipeline.sources.parsing import dialogue, fields, image_turns, judge_prompts

__all__ = ["BATTLE_IRRELEVANT", "VOTES_IRRELEVANT", "battle_to_comparison", "votes_to_comparisons"]

BATTLE_IRRELEVANT = (
    "model_a", "model_b", "language", "turn", "anony", "judge", "tstamp", "domain", "question", "instruction",
)  # fmt: skip
VOTES_IRRELEVANT = ("model", "judge", "games.judgement", "games.user_prompt")

_WINNERS = {
    "model_a": (0, 1),
    "model_b": (1, 0),
    "tie": (0, 0),
    "tie (bothbad)": (0, 0),
    "bothbad": (0, 0),
}
_SCORES = {"A>>B": (2.0, 0.0), "A>B": (1.0, 0.0), "A=B": (0.0, 0.0), "B>A": (0.0, 1.0), "B>>A": (0.0, 2.0)}

Side = tuple[tuple[Turn, ...], str]


def battle_to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One battle as a pair, in the order A, B.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label, malformed_dialogue, prompts_differ,
            missing_media, broken_image, image_slot_mismatch.
    """
    winner = fields.require(record, "winner", row)
    ranks = _WINNERS.get(winner) if isinstance(winner, str) else None
    if ranks is None:
        raise RecordError("unparsable_label", f"winner in row {row} is {str(winner)[:80]!r}, known: {list(_WINNERS)}")
    said = "output" if "output_a" in record and "conversation_a" not in record else "conversation"
    before_a, answer_a = _side(record, f"{said}_a", row)
    before_b, answer_b = _side(record, f"{said}_b", row)
    shared = image_turns.tags_to_slots(dialogue.shared_prompt(before_a, before_b, row))
    media = image_turns.needed_media(record, "image", row)
    return Comparison(
        id=fields.id_of(record, "question_id", row),
        source=source.name,
        prompt=image_turns.place_in_turns(shared, len(media), row),
        responses=(Response((answer_a,), ranks[0]), Response((answer_b,), ranks[1])),
        media=media,
    )


def _side(record: Mapping[str, Any], field: str, row: int) -> Side:
    value = fields.require(record, field, row)
    if not isinstance(value, str):
        return dialogue.split_answer(dialogue.turns_of(value, field, row), field, row)
    question = "question" if "question" in record and "instruction" not in record else "instruction"
    return (Turn("user", (fields.text(record, question, row),)),), value


def votes_to_comparisons(record: Mapping[str, Any], source: SourceConfig, row: int) -> list[Comparison]:
    """The games of one record that have a verdict, each as a pair in the order A, B.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (no game has a verdict), no_answers_found,
            missing_media, broken_image, image_slot_mismatch.
    """
    games = fields.require(record, "games", row)
    if not isinstance(games, list) or not games or not all(isinstance(game, Mapping) for game in games):
        raise fields.wrong_type("games", row, "a list of objects", games)
    scored = [(place, game, _score(game)) for place, game in enumerate(games)]
    name = fields.id_of(record, "question_id", row)
    made = [
        _game(game, f"{name}:{place}" if len(games) > 1 else name, score, source, row)
        for place, game, score in scored
        if score is not None
    ]
    if not made:
        shown = [str(game.get("score"))[:40] for game in games]
        raise RecordError("unparsable_label", f"games.score in row {row}: none of {shown} is one of {list(_SCORES)}")
    return made


def _score(game: Mapping[str, Any]) -> tuple[float, float] | None:
    value = game.get("score")
    return _SCORES.get(value.strip()) if isinstance(value, str) else None


def _game(
    game: Mapping[str, Any], name: str, scores: tuple[float, float], source: SourceConfig, row: int
) -> Comparison:
    items = fields.objects(fields.require(game, "user_prompt", row), "user_prompt", row)
    prompt = "".join(fields.text(item, "text", row) for item in items if item.get("type") == "text")
    images = [item.get("image") for item in items if item.get("type") == "image"]
    media = image_turns.needed_media({"user_prompt.image": images}, "user_prompt.image", row)
    found = judge_prompts.judged(prompt, [judge_prompts.ARENA], "user_prompt", row)
    ranks = ranks_from_scores(scores)
    answers = zip((found.first, found.second), ranks, scores, strict=True)
    return Comparison(
        id=name,
        source=source.name,
        prompt=(Turn("user", fields.place_images(found.question, len(media), row)),),
        responses=tuple(Response((text,), rank, score) for text, rank, score in answers),
        media=media,
    )
