"""Image files of every awkward and damaged kind as bytes, each with what has to become of it."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image

__all__ = ["KEPT", "WRITABLE", "damaged_images", "encoded", "icon", "noise", "photograph", "png_header", "small_tiff"]

PIL.Image.init()
KEPT = "kept"
WRITABLE = frozenset(PIL.Image.SAVE)
"""Formats that this build of Pillow writes; AVIF is not in every one."""


def encoded(image: PIL.Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as a file of that format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 40, height: int = 30, mode: str = "RGB", seed: int = 0) -> PIL.Image.Image:
    """Every pixel at random."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def photograph(seed: int, width: int = 320, height: int = 240) -> PIL.Image.Image:
    """Soft shapes of all sizes, with the spectrum of a photograph: strength falls with frequency."""
    random = np.random.default_rng(seed)
    spectrum = random.normal(size=(height, width, 3)) + 1j * random.normal(size=(height, width, 3))
    y, x = np.fft.fftfreq(height)[:, None, None], np.fft.fftfreq(width)[None, :, None]
    values = np.real(np.fft.ifft2(spectrum / (np.hypot(y, x) + 1 / width), axes=(0, 1)))
    return PIL.Image.fromarray(np.uint8(np.clip(128 + 50 * (values - values.mean()) / values.std(), 0, 255)))


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int, bits: int = 1) -> bytes:
    """A whole grey PNG by its header, with pixels for nothing."""
    head = png_chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\0" * 99)) + png_chunk(b"IEND", b"")


def bomb_png(side: int) -> bytes:
    """A true decompression bomb: all pixels are there, in a thousandth of their size."""
    packer = zlib.compressobj(1)
    row = b"\0" * ((side + 7) // 8 + 1)
    pixels = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    head = png_chunk(b"IHDR", struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def icon(picture: bytes) -> bytes:
    """An ICO whose directory says 16 x 16, whatever `picture` is."""
    return b"\0\0\1\0\1\0" + struct.pack("<4B2H2I", 16, 16, 0, 0, 1, 32, len(picture), 22) + picture


def small_tiff(values: bytes, width: int, height: int, *, bits: int = 16, photometric: int = 1, **more: int) -> bytes:
    """An uncompressed grey TIFF of one strip; `more`: tags as t322=..."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height, 279: len(values)}
    tags |= {int(name[1:]): value for name, value in more.items()}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<2H2I", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + values


def damaged_images() -> Iterator[tuple[str, bytes, str]]:
    """(file name, bytes, ``"kept"`` or the reason of its refusal), always the same."""
    yield from _awkward()
    yield from _oriented()
    yield from _cut_off()
    yield from _no_pictures()
    yield from _bombs()


def _awkward() -> Iterator[tuple[str, bytes, str]]:
    """Whole pictures, each in its own way."""
    soft = photograph(1, 120, 90)
    grey = np.asarray(soft.convert("L"))
    frames = [photograph(seed, 64, 48) for seed in (2, 3, 4)]

    def moving(kind: str) -> bytes:
        first, *rest = (frame.copy() for frame in frames)  # saving leaves a mark on an image that upsets the next
        return encoded(first, kind, save_all=True, append_images=rest)

    deep = PIL.Image.fromarray(grey.astype(np.uint16) * 257)
    see_through = noise(60, 40, "RGBA")
    see_through.putalpha(noise(60, 40, "L", seed=5))
    files = {
        "plain.jpg": encoded(soft, "JPEG"),
        "progressive.jpg": encoded(soft, "JPEG", progressive=True),
        "cmyk.jpg": encoded(soft.convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(soft.convert("L"), "JPEG"),
        "two_pictures.mpo": moving("MPO"),
        "bits1.png": encoded(soft.convert("1")),
        "bits2.png": encoded(soft.quantize(4), bits=2),
        "bits4.png": encoded(soft.quantize(16), bits=4),
        "bits8.png": encoded(soft.convert("L")),
        "bits16.png": encoded(deep),
        "palette_see_through.png": encoded(soft.quantize(8), transparency=0),
        "grey_alpha.png": encoded(see_through.convert("LA")),
        "alpha.png": encoded(see_through),
        "animated.png": moving("PNG"),
        "animated.gif": moving("GIF"),
        "animated.webp": moving("WEBP"),
        "alpha.webp": encoded(see_through, "WEBP"),
        "lossless.webp": encoded(soft, "WEBP", lossless=True),
        "pages.tiff": moving("TIFF"),
        "lzw.tif": encoded(soft, "TIFF", compression="tiff_lzw"),
        "bits16.tiff": encoded(deep, "TIFF"),
        "plain.bmp": encoded(soft, "BMP"),
        "plain.ico": encoded(soft, "ICO", sizes=[(32, 32)]),
        "plain.ppm": encoded(soft, "PPM"),
        "bits16.pgm": encoded(PIL.Image.fromarray(grey.astype(np.int32) * 257), "PPM"),
        "plain.jp2": encoded(soft, "JPEG2000"),
        "plain.qoi": encoded(soft, "QOI"),
        "really_webp.jpg": encoded(frames[1], "WEBP"),
        "really_jpeg.png": encoded(frames[2], "JPEG"),
        "no_ending": encoded(noise(seed=6)),
        "note.txt": encoded(noise(seed=7)),
        "UPPER.JPG": encoded(noise(seed=8), "JPEG"),
        "with space and %20.png": encoded(noise(seed=9)),
        "Bild-äöü-图.png": encoded(noise(seed=10)),
        "sub/folder/deep.png": encoded(noise(seed=11)),
        "one_pixel.png": encoded(noise(1, 1)),
        "flat.png": encoded(PIL.Image.new("RGB", (50, 50), "red")),
        "as_long_as_allowed.png": encoded(noise(2000, 10)),
        "white_is_zero.tiff": small_tiff(np.asarray(deep).astype("<u2").tobytes(), 120, 90, photometric=0),
    }
    if "AVIF" in WRITABLE:
        files["plain.avif"] = encoded(soft, "AVIF")
    yield from ((name, data, KEPT) for name, data in files.items())
    yield "too_long.png", encoded(noise(2001, 9)), "extreme_aspect_ratio"
    yield "float.tiff", encoded(PIL.Image.fromarray(grey.astype(np.float32)), "TIFF"), "broken_image"


def _oriented() -> Iterator[tuple[str, bytes, str]]:
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        yield f"turned{orientation}.jpg", encoded(noise(40 + orientation, 30), "JPEG", exif=exif), KEPT


def _cut_off() -> Iterator[tuple[str, bytes, str]]:
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000"):
        whole = encoded(photograph(12, 100, 80), kind)
        for percent in (1, 50, 90):
            yield f"cut_at_{percent}.{kind.lower()}", whole[: len(whole) * percent // 100 or 1], "broken_image"
    whole = encoded(noise(seed=13))
    yield "middle_is_gone.png", whole[:200] + b"\0" * 500 + whole[700:], "broken_image"


def _no_pictures() -> Iterator[tuple[str, bytes, str]]:
    broken = {
        "empty.jpg": b"",
        "words.png": b"not an image",
        "page_not_found.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "paper.pdf": b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n",
        "magic_only.png": b"\x89PNG\r\n\x1a\n",
        "magic_only.jpg": b"\xff\xd8\xff\xe0",
        "random.webp": np.random.default_rng(14).bytes(500),
        "zeros.bmp": bytes(500),
        "pointer_of_git_lfs.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "nothing_of_its_rows.tiff": small_tiff(bytes(8), 2, 2, t257=100_000),
        "no_pixels.png": png_header(40, 30),
    }
    yield from ((name, data, "broken_image") for name, data in broken.items())


def _bombs() -> Iterator[tuple[str, bytes, str]]:
    soft = photograph(15, 64, 48)
    jpeg = encoded(soft, "JPEG", progressive=True)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    lying = bytearray(encoded(soft, "JPEG2000"))
    lying[(at := lying.index(b"\xff\x4f\xff\x51") + 8) : at + 8] = struct.pack(">2I", 60_000, 60_000)
    bombs = {
        "bomb.png": bomb_png(12_000),
        "header.png": png_header(2**31 - 1, 2**31 - 1),
        "header.gif": b"GIF89a\xff\xff\xff\xff" + encoded(soft, "GIF")[10:],
        "header.bmp": b"BM"
        + struct.pack("<3I", 54, 0, 54)
        + struct.pack("<I2i2H6I", 40, 40_000, 40_000, 1, 24, *[0] * 6),
        "header.ppm": b"P6 50000 50000 255\n" + bytes(99),
        "picture_in.ico": icon(png_header(11_000, 11_000)),
        "tile.tiff": small_tiff(bytes(8), 2, 2, t322=1 << 16, t323=1 << 16),
        "stream.jp2": bytes(lying),
        "scans.jpg": jpeg[:-2] + scan * 200 + jpeg[-2:],
    }
    yield from ((name, data, "media_too_large") for name, data in bombs.items())
