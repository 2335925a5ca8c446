# SPDX-License-Identifier: Apache-2.0
"""Collects the drawings of every kind as RGBA sprites and splits them into train and test drawings.

Sources (licences in README.md): the Noto Color Emoji font and openclipart from Debian, and nine
emoji sets packaged for npm.  Sprites are cached as one pickle: a list of Sprite records.

A *drawing family* is what must not be divided between train and test: the glyphs of one emoji vendor
(Noto and its first version count as one vendor, so do the two Fluent and the two EmojiOne sets).
Of every kind one vendor is held out, by rotation over the five vendors that draw nearly every kind.
"""
import io
import json
import pickle
import random
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kinds import KINDS

NOTO_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLIPART = Path("/usr/share/openclipart/svg")
NPM_SCOPE = "@iconify-json"
NPM_PACKAGES = {"noto-v1": "1.2.5", "twemoji": "1.2.5", "fluent-emoji": "1.2.7", "fluent-emoji-flat": "1.2.6",
                "emojione": "1.2.3", "emojione-v1": "1.2.3", "fxemoji": "1.2.2", "streamline-emojis": "1.2.4",
                "openmoji": "1.2.29"}
ICON_PACKAGES = {"icon-park": "1.2.4", "streamline-flex-color": "1.2.2", "fluent-emoji-high-contrast": "1.2.6", "emojione-monotone": "1.2.1",
                 "mdi": "1.2.3", "ph": "1.2.2", "fa6-solid": "1.2.4", "game-icons": "1.2.4", "tabler": "1.2.41"}
COLOURED = {"icon-park", "streamline-flex-color"}      # icons with colours of their own
FAMILY = {"noto-v1": "noto", "fluent-emoji-flat": "fluent-emoji", "emojione-v1": "emojione",
          "fluent-emoji-high-contrast": "fluent-emoji", "emojione-monotone": "emojione"}
ROTATION = ["noto", "twemoji", "fluent-emoji", "emojione", "openmoji"]      # held out by kind index
# Unlike their kind, or painted on a background of their own.
REJECTED = {"fxemoji/cow", "fxemoji/pig", "fxemoji/umbrella", "fxemoji/sailboat", "fxemoji/crab", "emojione/camel",
            "streamline-emojis/horse"}
SIDE = 176          # longest side of a cached sprite in pixels


@dataclass
class Sprite:
    """One drawing: kind index, source name, drawing family, split ("train"/"test"), RGBA pixels u8 [h,w,4]."""
    kind: int
    source: str
    family: str
    split: str
    pixels: np.ndarray


def trim(image):
    """Crops the transparent border and scales the longest side to SIDE; None when nothing is visible."""
    alpha = image.getchannel("A").point(lambda a: 255 if a > 24 else 0)
    box = alpha.getbbox()
    if box is None or box[2] - box[0] < 8 or box[3] - box[1] < 8:
        return None
    image = image.crop(box)
    scale = SIDE / max(image.size)
    size = tuple(max(1, round(v * scale)) for v in image.size)
    return np.asarray(image.resize(size, Image.LANCZOS))


def render_svg(data):
    """SVG bytes -> RGBA PIL image, longest side 2*SIDE."""
    command = ["rsvg-convert", "-w", str(2 * SIDE), "-h", str(2 * SIDE), "-a", "-f", "png"]
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return Image.open(io.BytesIO(done.stdout)).convert("RGBA") if done.returncode == 0 else None


def noto_glyphs(kind):
    """Yields (source, image) for the kind's characters in the Noto Color Emoji font."""
    font = ImageFont.truetype(str(NOTO_FONT), 109)          # the only size of its bitmaps
    for char in kind.noto:
        image = Image.new("RGBA", (160, 160))
        ImageDraw.Draw(image).text((8, 8), char, font=font, embedded_color=True)
        yield f"noto/{ord(char):x}", image


def npm_icons(work, package, version):
    """The icon table of one npm emoji package; downloads it once with `npm pack`."""
    folder = work / "npm"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"iconify-json-{package}-{version}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"{NPM_SCOPE}/{package}@{version}"], cwd=folder, check=True)
    with tarfile.open(archive) as tar:
        return json.load(tar.extractfile("package/icons.json"))


def emoji_svgs(slugs, package, table):
    """Yields (source, image) of the icons with these names in one package."""
    for slug in slugs:
        icon = table["icons"].get(slug)
        if icon is None:
            continue
        width, height = icon.get("width", table.get("width", 16)), icon.get("height", table.get("height", 16))
        svg = (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
               f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>')
        yield f"{package}/{slug}", render_svg(svg.encode())


def clipart(kind):
    """Yields (source, image) of the kind's openclipart drawings."""
    for name in kind.clipart:
        paths = sorted(CLIPART.rglob(name + ".svg"))
        if paths:
            yield f"openclipart/{name}", render_svg(paths[0].read_bytes())


def hold_out(sprites, kind):
    """Marks the drawings of one vendor as test: the kind's turn in the rotation, or the next vendor that draws it."""
    families = {s.family for s in sprites}
    turn = kind.index % len(ROTATION)
    test = next(f for f in ROTATION[turn:] + ROTATION[:turn] if f in families)
    for sprite in sprites:
        sprite.split = "test" if sprite.family == test else "train"


def load_sprites(work):
    """All sprites, from the cache in `work` or freshly rendered."""
    cache = work / "sprites.pickle"
    if cache.exists():
        return pickle.loads(cache.read_bytes())
    tables = {p: npm_icons(work, p, v) for p, v in NPM_PACKAGES.items()}
    sprites = []
    for kind in KINDS:
        found = [("noto", s, i) for s, i in noto_glyphs(kind)]
        for package, table in tables.items():
            found += [(FAMILY.get(package, package), s, i) for s, i in emoji_svgs(kind.slugs, package, table)]
        found += [("openclipart", s, i) for s, i in clipart(kind)]
        mine = []
        for family, source, image in found:
            pixels = trim(image) if image is not None and source not in REJECTED else None
            if pixels is not None:
                mine.append(Sprite(kind.index, source, family, "", pixels))
        hold_out(mine, kind)
        sprites += mine
    cache.write_bytes(pickle.dumps(sprites))
    return sprites


def coloured(image, rng):
    """A black icon in two random colours: one for its lines, one for what they enclose."""
    line = image.getchannel("A")
    framed = Image.new("L", (line.width + 2, line.height + 2))
    framed.paste(line.point(lambda a: 255 if a > 100 else 0), (1, 1))
    ImageDraw.floodfill(framed, (0, 0), 128)
    inside = framed.crop((1, 1, line.width + 1, line.height + 1)).point(lambda a: 255 if a == 0 else 0)
    pen, fill = ([rng.randrange(low, high) for _ in range(3)] for low, high in rng.choice([((0, 60), (90, 256)), ((60, 256), (0, 256))]))
    out = Image.new("RGBA", image.size, (*fill, 0))
    out.putalpha(inside)
    body = Image.new("RGBA", image.size, (*pen, 0))
    body.putalpha(line)
    return Image.alpha_composite(out, body)


def load_icons(work, sprites):
    """Icons as sprites, black ones in two random colourings; none of a vendor that is held out for the kind."""
    cache = work / "icons.pickle"
    if cache.exists():
        return pickle.loads(cache.read_bytes())
    tables = {p: npm_icons(work, p, v) for p, v in ICON_PACKAGES.items()}
    held_out = {(s.kind, s.family) for s in sprites if s.split == "test"}
    icons = []
    for kind in KINDS:
        rng = random.Random(f"icons of {kind.name}")
        for entry in kind.icons:
            package, slug = entry.split("/")
            family = FAMILY.get(package, package)
            if (kind.index, family) in held_out:
                continue
            image = next(i for _, i in emoji_svgs([slug], package, tables[package]))
            for picture in [image] if package in COLOURED else [coloured(image, rng) for _ in range(2)]:
                icons.append(Sprite(kind.index, entry, family, "train", trim(picture)))
    cache.write_bytes(pickle.dumps(icons))
    return icons


def contact_sheet(sprites, kinds, cell=80):
    """Picture with one row per kind and its sprites side by side; test drawings have a red bar."""
    rows = [[s for s in sprites if s.kind == k] for k in kinds]
    sheet = Image.new("RGB", (cell * max(len(r) for r in rows), cell * len(rows)), (170, 200, 170))
    for y, row in enumerate(rows):
        for x, sprite in enumerate(row):
            image = Image.fromarray(sprite.pixels)
            image.thumbnail((cell - 6, cell - 6))
            sheet.paste(image, (x * cell + 3, y * cell + 3), image)
            if sprite.split == "test":
                sheet.paste((220, 0, 0), (x * cell, y * cell + cell - 4, (x + 1) * cell, y * cell + cell))
    return sheet
