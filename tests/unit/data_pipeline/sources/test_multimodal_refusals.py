"""What a record of the wrong shape gets from a multimodal adapter: a reason, the field and the row."""

import pytest
from adapter_checks import changed, refusal
from multimodal_records import R1_JUDGED, RECORDS


@pytest.mark.parametrize(
    ("shape", "path", "value", "reason", "field"),
    [
        ("vl_rewardbench", ["response"], "A wren.", "wrong_field_type", "response in row 3"),
        ("vl_rewardbench", ["human_ranking"], [0], "unparsable_label", "human_ranking in row 3: [0] for 2"),
        ("vl_rewardbench", ["human_ranking"], [0, "1"], "wrong_field_type", "human_ranking in row 3"),
        ("vl_rewardbench", ["image"], None, "missing_field", "image in row 3"),
        ("vl_rewardbench", ["query"], KeyError, "missing_field", "query in row 3"),
        ("mm_rlhf", ["video"], KeyError, "missing_field", "image or video in row 3"),
        ("mm_rlhf", ["video"], ["a.jpg"], "wrong_field_type", "video in row 3"),
        ("mm_rlhf", ["video"], "", "missing_media", "video in row 3"),
        ("mm_rlhf", ["margin"], -1, "unparsable_label", "margin in row 3 is -1.0"),
        ("mm_rlhf", ["margin"], "1", "wrong_field_type", "margin in row 3"),
        ("mm_rlhf", ["image"], "a.png", "image_slot_mismatch", "row 3 has both"),
        ("mm_rlhf", ["is_tie"], "maybe", "unparsable_label", "is_tie in row 3 is 'maybe'"),
        ("mm_rlhf", ["rejected"], None, "missing_field", "rejected in row 3"),
        ("sharegpt", ["conversations"], KeyError, "missing_field", "conversations in row 3"),
        ("sharegpt", ["conversations", 2], "hi", "wrong_field_type", "conversations[2] in row 3"),
        ("sharegpt", ["conversations", 1, "value"], None, "missing_field", "conversations[1].value in row 3"),
        ("sharegpt", ["conversations", 1, "from"], KeyError, "missing_field", "conversations[1].from in row 3"),
        ("sharegpt", ["conversations", 3, "from"], "gpt", "malformed_dialogue", "conversations in row 3 ends with"),
        ("sharegpt", ["chosen"], 5, "wrong_field_type", "chosen in row 3"),
        ("sharegpt", ["rejected", "from"], "human", "malformed_dialogue", "rejected in row 3"),
        ("sharegpt", ["images"], ["a.png"], "image_slot_mismatch", "row 3: 2 image places for 1 images"),
        ("sharegpt", ["videos"], ["a.mp4"], "unsupported_media", "videos in row 3"),
        ("multimodal_rewardbench", ["Better"], "Output3", "unparsable_label", "Better in row 3 is 'Output3'"),
        ("multimodal_rewardbench", ["Text"], KeyError, "missing_field", "Text in row 3"),
        ("mmpr", ["image"], 7, "wrong_field_type", "image in row 3"),
        ("rlhf_v", ["text"], "{", "wrong_field_type", "text in row 3: expected JSON in a string"),
        ("rlhf_v", ["text"], "[1]", "wrong_field_type", "text in row 3: expected a JSON object"),
        ("rlhf_v", ["text"], '{"question": "q"}', "missing_field", "chosen in row 3"),
        ("rlhf_v", ["image"], {"bytes": None, "path": None}, "missing_media", "image in row 3"),
        ("povid", ["rejected_conversations"], [], "malformed_dialogue", "rejected_conversations in row 3"),
        ("povid", ["image"], "", "missing_media", "image in row 3"),
        ("omnialign_v", ["prompt"], KeyError, "missing_field", "prompt in row 3"),
        ("omnialign_v", ["image"], [], "missing_media", "image in row 3"),
        ("omnialign_v", ["image"], b"", "missing_media", "image in row 3 has no bytes"),
        ("omnialign_v", ["image"], "data:image/png;base64,", "missing_media", "image in row 3 has no bytes"),
        ("imagereward", ["ranking"], [1, 2], "unparsable_label", "ranking in row 3: 2 ranks for 4 images"),
        ("imagereward", ["ranking", 1], None, "wrong_field_type", "ranking[1] in row 3"),
        ("imagereward", ["ranking", 1], float("nan"), "unparsable_label", "ranking in row 3"),
        ("imagereward", ["generations", 2], None, "wrong_field_type", "generations in row 3"),
        ("r1_reward", ["image"], KeyError, "missing_field", "image or video in row 3"),
        ("r1_reward", ["message"], "[]", "missing_field", "question in row 3"),
        ("wildvision_battles", ["winner"], None, "missing_field", "winner in row 3 of"),
        ("wildvision_battles", ["winner"], "model_c", "unparsable_label", "winner in row 3 is 'model_c'"),
        ("wildvision_battles", ["conversation_b"], KeyError, "missing_field", "conversation_b in row 3"),
        ("wildvision_votes", ["games"], [], "wrong_field_type", "games in row 3"),
        ("wildvision_votes", ["games", 0, "score"], KeyError, "unparsable_label", "games.score in row 3"),
        ("wildvision_votes", ["games", 0, "user_prompt"], [], "missing_media", "user_prompt.image in row 3"),
        ("mdpo", ["prompt"], ["USER: a"], "wrong_field_type", "prompt in row 3"),
        ("mdpo", ["img_path"], KeyError, "missing_field", "img_path in row 3"),
        ("llava_rlhf", ["preference"], 0, "unparsable_label", "preference in row 3 is '0'"),
        ("llava_rlhf", ["conversations", 3, "from"], "human", "malformed_dialogue", "conversations in row 3"),
        ("llava_rlhf", ["output_2"], "A wren.", "wrong_field_type", "output_2 in row 3"),
        ("llava_rlhf", ["output_1", "value"], KeyError, "missing_field", "output_1.value in row 3"),
        ("llava_critic", ["conversations"], [], "malformed_dialogue", "conversations in row 3 are []"),
        ("llava_critic", ["image"], KeyError, "missing_field", "image in row 3"),
    ],
)  # fmt: skip
def test_refusals_name_field_and_row(shape: str, path: list[str | int], value: object, reason: str, field: str) -> None:
    error = refusal(shape, changed(RECORDS[shape], path, value))
    assert error.reason == reason
    assert field in error.detail


@pytest.mark.parametrize(
    ("field", "value", "reason", "words"),
    [
        ("answer", ["<answer>3</answer>"], "unparsable_label", "answer in row 3"),
        ("answer", ["<answer>1</answer>", "<answer>2</answer>"], "unparsable_label", "answer in row 3"),
        ("message", "not json", "wrong_field_type", "message in row 3"),
        ("message", '{"role": "user"}', "wrong_field_type", "message in row 3"),
        ("message", '[{"role": "user", "content": 5}]', "wrong_field_type", "message.content in row 3"),
        ("image", "iVBORw0KGg", "broken_image", "image in row 3"),
    ],
)
def test_r1_reward_judged_refusals(field: str, value: object, reason: str, words: str) -> None:
    error = refusal("r1_reward", {**R1_JUDGED, field: value})
    assert (error.reason, words in error.detail) == (reason, True)
