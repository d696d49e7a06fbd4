"""Image references to verified bytes, and bytes to pixels.

MediaRef --frames_of-----> MediaRef, ...   a video is a folder of frames
         --reading-------> bytes           below the media root, from an archive, or fetched where allowed
         --bounds--------> the same        no decompression bomb, by its headers
         --load_image----> Image           bytes that decode, sha256, upright size, perceptual hash
         --stored_bytes--> bytes           the file as found, or resized pixels, losslessly
         --resized_rgb---> uint8 [H, W, 3] what the model sees
"""

from data_pipeline.media.frames import frames_of
from data_pipeline.media.loading import Image, load_image
from data_pipeline.media.perceptual import hash_distance, perceptual_hash
from data_pipeline.media.pixels import decode_rgb, resized_rgb, smart_resize
from data_pipeline.media.stored import stored_bytes

__all__ = [
    "Image",
    "decode_rgb",
    "frames_of",
    "hash_distance",
    "load_image",
    "perceptual_hash",
    "resized_rgb",
    "smart_resize",
    "stored_bytes",
]
