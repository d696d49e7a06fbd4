"""The chat format of Qwen2.5-VL as a Jinja template, for everything that loads the model folder with transformers."""

import json

__all__ = ["chat_template"]

# Without a system turn in front the default one is added. A turn's content is a string, or a list of items: an item
# with "image", "image_url" or type image is an image span, one with "video" or type video a video span, and one with
# "text" is text.
_TEMPLATE = """\
{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\n' + DEFAULT_SYSTEM_PROMPT + '<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {%- if message['content'] is string %}
        {{- message['content'] }}
    {%- else %}
        {%- for item in message['content'] %}
            {%- if item['type'] == 'image' or 'image' in item or 'image_url' in item %}
                IMAGE
            {%- elif item['type'] == 'video' or 'video' in item %}
                VIDEO
            {%- elif 'text' in item %}
                {{- item['text'] }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    TURN_END
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


_TURN_ENDS = {
    "line_break": "{{- '<|im_end|>\\n' }}",
    "end_of_turn": "{{- '<|im_end|>' }}\n"
    "    {%- if add_generation_prompt or not loop.last %}\n"
    "        {{- '\\n' }}\n"
    "    {%- endif %}",
}


_SPANS = {
    "IMAGE": "{{- '<|vision_start|><|image_pad|><|vision_end|>' }}",
    "VIDEO": "{{- '<|vision_start|><|video_pad|><|vision_end|>' }}",
}
_SPANS_OF_INTERNVL = {
    # Its processor writes <img> and </img> around the tokens of all tiles.
    "IMAGE": "{{- '<IMG_CONTEXT>' }}",
    "VIDEO": "{{- raise_exception('this model is shown no videos: show their frames as images') }}",
}


def chat_template(
    system_prompt: str = "You are a helpful assistant.", *, answer_end: str = "line_break", family: str = "qwen2.5-vl"
) -> str:
    """The text of ``chat_template.jinja``.

    Args:
        system_prompt: the system turn of a chat that begins without one.
        answer_end: what the last turn ends with, as `EncodeConfig.answer_end`; Transformers' templates end with
            ``line_break``.
        family: of backbones, as `EncodeConfig.family`.
    """
    text = _TEMPLATE.replace("TURN_END", _TURN_ENDS[answer_end])
    for name, span in (_SPANS_OF_INTERNVL if family == "internvl" else _SPANS).items():
        text = text.replace(name, span)
    # A JSON string is a valid Jinja string literal, quotes and line breaks included.
    return text.replace("DEFAULT_SYSTEM_PROMPT", json.dumps(system_prompt, ensure_ascii=False))
