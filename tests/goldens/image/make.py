# SPDX-License-Identifier: Apache-2.0
"""Draws one small picture, stores it in many kinds of files, and writes what Pillow reads back.

Needs Pillow with WebP, numpy and heif-enc (libheif-examples). Run in this folder; see README.md.
"""

import pathlib
import struct
import subprocess
import zlib

import numpy
from PIL import Image

WIDTH, HEIGHT = 26, 19


def drawing():
    """Smooth colours, [HEIGHT, WIDTH, 3]; decode_test.cc knows the formula."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    return numpy.stack([40 + 7 * x, 30 + 10 * y, 220 - 4 * x - 3 * y], axis=-1).astype(numpy.uint8)


def png(name, depth, colour, rows, before=(), interlaced=0):
    """A PNG written by hand, for the kinds that Pillow does not write; rows are packed bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    body = b"".join(b"\0" + row for row in rows)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(body, 9)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)
    pathlib.Path(name).write_bytes(data)


def adam7(pixels):
    """The seven passes of an interlaced picture, one after the other, as packed rows."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for left, top, across, down in passes:
        for row in pixels[top::down, left::across]:
            if row.size:
                yield row.tobytes()


def write_jpegs(rgb):
    image = Image.fromarray(rgb)
    image.save("444.jpg", quality=90, subsampling=0)
    image.save("420.jpg", quality=85, subsampling=2)
    image.save("progressive.jpg", quality=85, progressive=True)
    image.convert("L").save("grey.jpg", quality=90)
    image.convert("CMYK").save("cmyk.jpg", quality=90)


def write_pngs(rgb):
    grey = rgb[:, :, 0]
    alpha = (rgb[:, :, 1] // 2)[:, :, None]
    noise = ((numpy.arange(rgb.size) * 37) % 256).astype(numpy.uint16).reshape(rgb.shape)
    wide = (rgb.astype(numpy.uint16) << 8 | noise).astype(">u2")
    Image.fromarray(rgb).save("rgb.png", optimize=True)
    Image.fromarray(numpy.concatenate([rgb, alpha], -1)).save("rgba.png", optimize=True)
    png("rgb16.png", 16, 2, [row.tobytes() for row in wide])
    png("grey16.png", 16, 0, [row.tobytes() for row in wide[:, :, 0]])
    png("grey_alpha.png", 8, 4, [r.tobytes() for r in numpy.concatenate([grey[:, :, None], alpha], -1)])
    png("grey_alpha16.png", 16, 4, [row.tobytes() for row in wide[:, :, :2]])
    for depth in (1, 2, 4):
        levels = grey >> (8 - depth)
        bits = (levels[:, :, None] >> numpy.arange(depth - 1, -1, -1)) & 1
        png(f"grey{depth}.png", depth, 0, [numpy.packbits(row.reshape(-1)).tobytes() for row in bits])
    quantized = Image.fromarray(rgb).quantize(31)
    indices = numpy.array(quantized)
    palette = (b"PLTE", bytes(quantized.getpalette()[: 31 * 3]))
    transparency = (b"tRNS", bytes(range(0, 240, 8)))
    png("palette.png", 8, 3, [row.tobytes() for row in indices], [palette, transparency])
    png("interlaced.png", 8, 2, list(adam7(rgb)), interlaced=1)
    colour_key = (b"tRNS", struct.pack(">HHH", *[int(v) for v in rgb[0, 0]]))
    gamma = (b"gAMA", struct.pack(">I", 100000))
    png("colour_key_gamma.png", 8, 2, [row.tobytes() for row in rgb], [gamma, colour_key])


def write_webps(rgb):
    image = Image.fromarray(rgb)
    image.save("lossy.webp", quality=80)
    image.save("lossless.webp", lossless=True)
    alpha = Image.fromarray(rgb[:, :, 1] // 2)
    with_alpha = image.copy()
    with_alpha.putalpha(alpha)
    with_alpha.save("lossy_alpha.webp", quality=80)
    image.save("animated.webp", save_all=True, append_images=[image.rotate(180)], lossless=True)


def write_others(rgb):
    image = Image.fromarray(rgb)
    image.save("24.bmp")
    image.convert("RGBA").save("32.bmp")
    image.quantize(31).save("8.bmp")
    image.save("picture.gif")
    for name in ("picture.heic", "picture.avif"):
        flags = ["-A"] if name.endswith("avif") else []
        subprocess.run(["heif-enc", *flags, "-q", "95", "rgb.png", "-o", name], check=True)


def main():
    rgb = drawing()
    write_jpegs(rgb)
    write_pngs(rgb)
    write_webps(rgb)
    write_others(rgb)
    lines = []
    for path in sorted(pathlib.Path().glob("*.*")):
        if path.suffix not in (".jpg", ".png", ".webp", ".bmp"):
            continue
        pixels = numpy.array(Image.open(path).convert("RGB"))
        if path.name == "grey16.png":  # Pillow clips to 255; we keep the high byte
            pixels = numpy.repeat(rgb[:, :, :1], 3, axis=-1)
        assert pixels.shape == rgb.shape, path
        lines.append(f"{path.name} {zlib.crc32(pixels.tobytes())}\n")
    pathlib.Path("expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
