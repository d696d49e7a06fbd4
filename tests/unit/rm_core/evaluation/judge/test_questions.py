"""A question holds what a record says, and nothing of a record is taken for a place of the template."""

import base64
import io

import PIL.Image
import pytest
from prepared_toys import scene

from data_pipeline.errors import RecipeError, RecordError
from data_pipeline.media import decode_rgb
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from rm_core.evaluation.judge.config import JudgeConfig, check_judge_config
from rm_core.evaluation.judge.questions import Asked, content_of, data_address

PICTURE = scene(1, 56, 56)


def asked(prompt: tuple[Turn, ...], answers: tuple[str, ...], pictures: int = 0) -> Asked:
    return Asked(
        place=0,
        fields={},
        comparison=Comparison(
            id="7", source="s", prompt=prompt, media=(MediaRef(path="x"),) * pictures,
            responses=tuple(Response((answer,), rank=place) for place, answer in enumerate(answers)),
        ),
        pictures=((PICTURE,),) * pictures,
    )  # fmt: skip


def saved(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (8, 4), (200, 10, 10)).save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_texts_of_records_are_no_places_of_the_template() -> None:
    item = asked((Turn("user", ("{first} {0} {{x}}",)),), ("{prompt}", "{second}"))
    config = JudgeConfig(template='{prompt}|{first}|{second}|{"json": 1}')
    assert content_of(item, config, (0, 1)) == [
        {"type": "text", "text": '{first} {0} {{x}}|{prompt}|{second}|{"json": 1}'}
    ]
    assert content_of(item, config, (1, 0))[0]["text"].startswith("{first} {0} {{x}}|{second}|{prompt}|")


def test_pictures_stand_where_the_record_has_them_and_turns_have_roles() -> None:
    turns = (Turn("system", ("Be brief.",)), Turn("user", ("Look: ", ImageSlot(0), " and say.")))
    parts = content_of(asked(turns, ("A", "B"), pictures=1), JudgeConfig(), (0, 1))
    assert [part["type"] for part in parts] == ["text", "image_url", "text"]
    assert parts[0]["text"].endswith("system:\nBe brief.\n\nuser:\nLook: ")
    assert parts[2]["text"].startswith(" and say.\n[End of the prompt]")
    kind, _, data = parts[1]["image_url"]["url"].partition(",")
    assert (kind, base64.b64decode(data)) == ("data:image/png;base64", PICTURE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_plain_files_are_sent_as_found(kind: str) -> None:
    data = saved(kind)
    assert data_address(data) == f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("data", [saved("BMP"), saved("GIF"), saved("TIFF")])
def test_other_files_are_sent_as_png(data: bytes) -> None:
    kind, _, sent = data_address(data).partition(",")
    assert kind == "data:image/png;base64"
    assert decode_rgb(base64.b64decode(sent)).tobytes() == decode_rgb(data).tobytes()


def test_a_turned_picture_is_sent_upright_and_a_broken_one_refused() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    kind, _, sent = data_address(saved("JPEG", exif=exif)).partition(",")
    assert kind == "data:image/png;base64"
    assert PIL.Image.open(io.BytesIO(base64.b64decode(sent))).size == (4, 8)
    with pytest.raises(RecordError, match="broken_image"):
        data_address(b"<html>404</html>")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (JudgeConfig(), "evaluate.judge.model is not set"),
        (JudgeConfig(model="m", template="{prompt} {first}"), r"template has \{second\} 0 times"),
        (JudgeConfig(model="m", template="{prompt}{prompt}{first}{second}"), r"template has \{prompt\} 2 times"),
        (JudgeConfig(model="m", samples=3, temperature=0.0), "asks for the same answer 3 times"),
        (JudgeConfig(model="m", key_variable="sk-SECRET"), "is no name of a variable"),
        (JudgeConfig(model="m", key_variable="hf_secret"), "is no name of a variable"),
    ],
)
def test_what_cannot_be_asked_is_refused(config: JudgeConfig, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as found:
        check_judge_config(config)
    assert "SECRET" not in str(found.value) and "hf_secret" not in str(found.value)


def test_a_judge_may_have_no_key_and_many_samples() -> None:
    check_judge_config(JudgeConfig(model="m", samples=3))
