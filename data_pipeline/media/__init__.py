"""Image references to verified bytes, and bytes to pixels.

MediaRef --frames_of-----> SampledFrames   a video is a folder of frames, or a file that is decoded
         --reading-------> bytes           below the media root, from an archive, or fetched where allowed; by its
                                           headers no decompression bomb
         --load_image----> Image           bytes that decode, sha256, upright size, perceptual hash
         --load_video----> Video           its sampled frames, all of one size, and the seconds between them
         --load_medium---> Image | Video   whichever of the two it names
         --stored_bytes--> bytes           the file as found, or resized pixels, losslessly
         --resized_rgb---> uint8 [H, W, 3] what the model sees, of a size that `IMAGE_FORMATS` allows its family
         --tiled_rgb-----> uint8 [N, S, S, 3] the same cut into tiles, for InternVL
"""

from data_pipeline.media.frames import SampledFrames, Video, frames_of, load_medium, load_video, video_key, video_of
from data_pipeline.media.image_format import IMAGE_FORMATS, INTERNVL, QWEN2_5_VL, QWEN3_VL, ImageFormat
from data_pipeline.media.loading import Image, hash_distance, load_image, perceptual_hash, stored_bytes
from data_pipeline.media.pixels import decode_rgb, resized_rgb, smart_resize
from data_pipeline.media.reading import MAX_MEDIA_BYTES
from data_pipeline.media.tiles import tile_canvas, tiled_rgb

__all__ = [
    "IMAGE_FORMATS",
    "INTERNVL",
    "MAX_MEDIA_BYTES",
    "QWEN2_5_VL",
    "QWEN3_VL",
    "Image",
    "ImageFormat",
    "SampledFrames",
    "Video",
    "decode_rgb",
    "frames_of",
    "hash_distance",
    "load_image",
    "load_medium",
    "load_video",
    "perceptual_hash",
    "resized_rgb",
    "smart_resize",
    "stored_bytes",
    "tile_canvas",
    "tiled_rgb",
    "video_key",
    "video_of",
]
