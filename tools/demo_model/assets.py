# SPDX-License-Identifier: Apache-2.0
"""Collects the drawings of every kind as RGBA sprites and splits them into train and test drawings.

Sources (licences in README.md): the Noto Color Emoji font and openclipart from Debian, and emoji and icon sets packaged
for npm.  Sprites are cached as one pickle: a list of Sprite records.

A *drawing family* is what must not be divided between train and test: the glyphs of one emoji vendor
(Noto and its first version count as one vendor, so do the two Fluent and the two EmojiOne sets).
Of every kind one vendor is held out, by rotation over the five vendors that draw nearly every kind.
"""
import functools
import io
import json
import multiprocessing
import pickle
import random
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kinds import KINDS

NOTO_FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLIPART = Path("/usr/share/openclipart/svg")
ICON_SETS = "2.2.535"           # version of the npm package @iconify/json, which holds all sets
EMOJI_SETS = ("noto-v1", "twemoji", "fluent-emoji", "fluent-emoji-flat", "emojione", "emojione-v1", "fxemoji", "streamline-emojis", "openmoji")
PLAIN_EMOJI_SETS = ("fluent-emoji-high-contrast", "emojione-monotone")      # in one colour
CONCEPT_SETS = ("noto", *EMOJI_SETS, *PLAIN_EMOJI_SETS)
FAMILY = {"noto-v1": "noto", "fluent-emoji-flat": "fluent-emoji", "emojione-v1": "emojione",
          "fluent-emoji-high-contrast": "fluent-emoji", "emojione-monotone": "emojione"}
ROTATION = ["noto", "twemoji", "fluent-emoji", "emojione", "openmoji"]      # held out by kind index
# Unlike their kind, or painted on a background of their own.
REJECTED = {"fxemoji/cow", "fxemoji/pig", "fxemoji/umbrella", "fxemoji/sailboat", "fxemoji/crab", "emojione/camel",
            "streamline-emojis/horse"}
SIDE = 176          # longest side of a cached sprite in pixels
CONCEPT_SIDE = 96   # of drawings that are seen as crops only

# What else the emoji sets draw: names that these hold are left out, since the drawings differ by a sign, a pose or a shade only.
ALIKE = re.compile("^(man|woman|person|people|family|couple|kiss|flag|japanese|input|regional)|skin|faced|(?<!horse|mouse)face|button|hand|circle|square|"
                   "arrow|heart|zodiac|bloodtype|oclock|thirty|keycap|diamond|triangle|mailbox|envelope|chart|sign$|mark$|book$|notes?$|symbol$|cross")
CONCEPT_FAMILIES = 4            # hands that must have drawn it
# Emoji of the same thing as a kind: its held-out vendor is held out there, too.
RELATIVES = {
    "cat": "cat blackcat", "dog": "dog poodle guidedog servicedog", "rabbit": "rabbit", "horse": "horseface carouselhorse horseracing",
    "cow": "ox waterbuffalo", "sheep": "goat", "pig": "boar pignose", "duck": "swan goose", "rooster": "chicken",
    "tiger": "leopard tiger", "bear": "polarbear teddybear koala", "monkey": "monkey gorilla orangutan seenoevilmonkey hearnoevilmonkey speaknoevilmonkey",
    "camel": "llama", "ladybug": "beetle", "fish": "blowfish", "whale": "dolphin", "octopus": "squid", "crab": "lobster",
    "car": "oncomingautomobile taxi oncomingtaxi sportutilityvehicle policecar oncomingpolicecar racingcar", "bus": "oncomingbus trolleybus minibus busstop",
    "truck": "articulatedlorry pickuptruck fireengine", "bicycle": "nobicycles", "motorcycle": "motorscooter",
    "train": "train highspeedtrain bullettrain railwaycar tramcar lightrail metro", "airplane": "smallairplane airplanearrival airplanedeparture",
    "boat": "speedboat motorboat canoe ship ferry", "cake": "shortcake cupcake mooncake", "ice cream": "icecream shavedice",
    "umbrella": "closedumbrella umbrellaonground beachwithumbrella", "clock": "mantelpiececlock timerclock stopwatch watch",
    "guitar": "banjo violin", "crown": "princess prince", "tree": "evergreentree christmastree tanabatatree",
    "sunflower": "blossom", "mushroom": "brownmushroom", "house": "housewithgarden houses derelicthouse hut",
}


def joined(name):
    """The name of an emoji as the sets agree on it, whether they join words by hyphens or not."""
    return name.replace("-", "")


@dataclass
class Sprite:
    """One drawing: kind index, source name, drawing family, split ("train"/"test"), RGBA pixels u8 [h,w,4]."""
    kind: int
    source: str
    family: str
    split: str
    pixels: np.ndarray


def trim(image, side=SIDE):
    """Crops the transparent border and scales the longest side to `side`; None when nothing is visible."""
    alpha = image.getchannel("A").point(lambda a: 255 if a > 24 else 0)
    box = alpha.getbbox()
    if box is None or box[2] - box[0] < 8 or box[3] - box[1] < 8:
        return None
    image = image.crop(box)
    scale = side / max(image.size)
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


@functools.lru_cache(maxsize=None)
def icon_set(work, name):
    """The table of one emoji or icon set; all sets are fetched once with `npm pack`."""
    folder = work / f"iconify-json-{ICON_SETS}"
    if not folder.exists():
        subprocess.run(["npm", "pack", "--silent", f"@iconify/json@{ICON_SETS}"], cwd=work, check=True)
        part = folder.with_suffix(".part")
        with tarfile.open(work / f"{folder.name}.tgz") as tar:
            tar.extractall(part, [m for m in tar.getmembers() if m.name.startswith("package/json/")])
        part.rename(folder)
    return json.loads((folder / "package" / "json" / f"{name}.json").read_text())


def family_of(package):
    return FAMILY.get(package, package)


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


def drawing_of(work, entry):
    """The picture of "package/slug"."""
    package, slug = entry.split("/")
    return next(image for _, image in emoji_svgs([slug], package, icon_set(work, package)))


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
    tables = {name: icon_set(work, name) for name in EMOJI_SETS}
    sprites = []
    for kind in KINDS:
        found = [("noto", s, i) for s, i in noto_glyphs(kind)]
        for package, table in tables.items():
            found += [(family_of(package), s, i) for s, i in emoji_svgs(kind.slugs, package, table)]
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


def has_colours(table, slug):
    return "#" in table["icons"][slug]["body"] or "currentColor" not in table["icons"][slug]["body"]


def load_icons(work, sprites):
    """Icons as sprites, black ones in two random colourings; none of a vendor that is held out for the kind."""
    cache = work / "icons.pickle"
    if cache.exists():
        return pickle.loads(cache.read_bytes())
    held_out = {(s.kind, s.family) for s in sprites if s.split == "test"}
    icons = []
    for kind in KINDS:
        rng = random.Random(f"icons of {kind.name}")
        for entry in kind.icons:
            package, slug = entry.split("/")
            family = family_of(package)
            if (kind.index, family) in held_out:
                continue
            table = icon_set(work, package)
            image = drawing_of(work, entry)
            for picture in [image] if has_colours(table, slug) else [coloured(image, rng) for _ in range(2)]:
                icons.append(Sprite(kind.index, entry, family, "train", trim(picture)))
    cache.write_bytes(pickle.dumps(icons))
    return icons


def concept_entries(tables):
    """{name of a thing that is no kind: [package/slug]} of what enough hands have drawn."""
    names = {}
    for package, table in tables.items():
        for slug in table["icons"]:
            names.setdefault(joined(slug), []).append(f"{package}/{slug}")
    kinds = {joined(slug) for kind in KINDS for slug in kind.slugs}
    return {name: entries for name, entries in sorted(names.items())
            if name not in kinds and not ALIKE.search(name)
            and len({family_of(e.split("/")[0]) for e in entries}) >= CONCEPT_FAMILIES}


def draw_concept(work, number, entries, held_out):
    """The sprites of one concept, but for the families held out for it."""
    out = []
    for entry in entries:
        package = entry.split("/")[0]
        family = family_of(package)
        if family in held_out:
            continue
        image = drawing_of(work, entry)
        if image is None:
            continue
        if package in PLAIN_EMOJI_SETS:
            image = coloured(image, random.Random(entry))
        pixels = trim(image, CONCEPT_SIDE)
        if pixels is not None:
            out.append(Sprite(number, entry, family, "train", pixels))
    return out


def load_concepts(work, sprites):
    """Drawings of things that are no kinds, each a number of its own after the kinds: from them the tower learns how hands differ.

    Of what is near a kind, the vendor is left out that is held out for the kind.
    """
    cache = work / "concepts.pickle"
    if cache.exists():
        return pickle.loads(cache.read_bytes())
    entries = concept_entries({name: icon_set(work, name) for name in CONCEPT_SETS})
    test = {s.kind: s.family for s in sprites if s.split == "test"}
    held_out = {}
    for kind in KINDS:
        for name in RELATIVES.get(kind.name, "").split():
            held_out.setdefault(name, set()).add(test[kind.index])
    jobs = [(work, len(KINDS) + i, entries[name], held_out.get(name, set())) for i, name in enumerate(entries)]
    with multiprocessing.Pool() as pool:
        concepts = sum(pool.starmap(draw_concept, jobs, chunksize=8), [])
    cache.write_bytes(pickle.dumps(concepts))
    return concepts


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
