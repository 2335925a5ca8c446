# SPDX-License-Identifier: Apache-2.0
"""Rasterises the letters of labels: data/label_font/<size>.png, one strip a size (src/image/lettering.h says how it is read).

    python3 tools/label_font/make_strips.py [FONT]        # Debian: fonts-dejavu-core, python3-pil
"""
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

FONT = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
SIZES = [12, 14, 17, 20, 24, 30, 40, 54, 72]
LETTERS = [chr(c) for c in [*range(0x20, 0x7F), *range(0xA0, 0x100)]]

folder = pathlib.Path(__file__).parents[2] / "data/label_font"
for size in SIZES:
    font = ImageFont.truetype(FONT, size)
    ascent, descent = font.getmetrics()
    widths = [max(1, round(font.getlength(letter))) for letter in LETTERS]
    unknown = round(size * 0.6)
    strip = Image.new("L", (sum(widths) + unknown, 1 + ascent + descent), 0)
    draw = ImageDraw.Draw(strip)
    x = 0
    for letter, width in zip(LETTERS, widths):
        cell = Image.new("L", (width, ascent + descent), 0)
        ImageDraw.Draw(cell).text((0, 0), letter, font=font, fill=255)
        strip.paste(cell, (x, 1))
        strip.putpixel((x, 0), 255)
        x += width
    strip.putpixel((x, 0), 255)
    draw.rectangle([x + 1, 1 + round(ascent - size * 0.72), x + unknown - 2, ascent], outline=255, width=max(1, size // 14))
    # Sixteen shades are enough for edges of letters.
    shades = strip.point(lambda v: round(v / 17))
    shades.putpalette([v * 17 for v in range(16) for _ in range(3)])
    shades.save(folder / f"{size}.png", optimize=True, bits=4)
