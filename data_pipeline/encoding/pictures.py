"""What a recipe says of pictures, as their family is shown them: at which size, and by which tokens."""

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.spans import EncodedImage
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.media import IMAGE_FORMATS, Image, smart_resize, tile_canvas

__all__ = ["check_limits", "picture_tokens", "sized_picture"]


def check_limits(config: EncodeConfig) -> None:
    """Refuse sizes of pictures that contradict each other or the family.

    Raises:
        RecipeError: names both keys.
    """
    if config.family not in IMAGE_FORMATS:
        raise RecipeError(f"encode.family={config.family!r} is unknown: choose one of {', '.join(IMAGE_FORMATS)}")
    for least, most in (("min_pixels", "max_pixels"), ("min_pixels", "video_max_pixels"), ("min_tiles", "max_tiles")):
        low, high = getattr(config, least), getattr(config, most)
        if not 0 < low <= high:
            raise RecipeError(
                f"encode.{least}={low} and encode.{most}={high}: the first must be above 0 and at most the second"
            )
    if not IMAGE_FORMATS[config.family].tile:
        for name in ("min_tiles", "max_tiles"):
            if (value := getattr(config, name)) != getattr(EncodeConfig(), name):
                raise RecipeError(
                    f"encode.{name}={value}: pictures for encode.family={config.family} are not cut into tiles; leave "
                    "it out, or set encode.family=internvl"
                )


def picture_tokens(tokenizer: ChatTokenizer, family: str) -> tuple[int, int, int]:
    """Ids of the tokens in front of a picture of `family`, of it, and behind it.

    Raises:
        RecipeError: the tokenizer has no such special tokens.
    """
    marks = IMAGE_FORMATS[family].marks
    names = (marks.start, marks.pad, marks.end)
    if missing := [name for name in names if name not in tokenizer.special_ids]:
        raise RecipeError(
            f"encode.family={family} writes pictures as {' '.join(names)}, and the tokenizer has no special tokens "
            f"{', '.join(missing)}: name the folder of a backbone of that family as the tokenizer"
        )
    start, pad, end = (tokenizer.special_ids[name] for name in names)
    return start, pad, end


def sized_picture(image: Image, config: EncodeConfig, *, of_video: bool = False) -> EncodedImage:
    """The picture at the size at which it is shown.

    Args:
        of_video: it is a frame, and has a limit of its own.

    Raises:
        RecordError: ``"extreme_aspect_ratio"``, of pictures that are not cut into tiles.
    """
    format = IMAGE_FORMATS[config.family]
    if format.tile:
        height, width = tile_canvas(
            image.height, image.width, side=format.tile, min_tiles=config.min_tiles, max_tiles=config.max_tiles
        )
    else:
        most = config.video_max_pixels if of_video else config.max_pixels
        height, width = smart_resize(
            image.height, image.width, factor=format.merged, min_pixels=config.min_pixels, max_pixels=most
        )
    return EncodedImage(image.sha256, image.data, height, width, format=format)
