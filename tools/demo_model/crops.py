# SPDX-License-Identifier: Apache-2.0
"""Small pictures of single drawings: a cheap first lesson for the tower before whole scenes."""
import random
from dataclasses import replace

import numpy as np
from PIL import Image

SIDE = 64


def crop(sprite, background, rng):
    """One drawing, varied in shape and colour, on a patch of background u8 [SIDE,SIDE,3]."""
    image = Image.fromarray(sprite.pixels)
    if rng.random() < 0.5:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    longest = rng.uniform(0.62, 1.05) * SIDE
    scale = longest / max(image.size)
    size = [max(6, round(v * scale * rng.uniform(0.85, 1.18))) for v in image.size]
    image = image.resize(size, Image.BILINEAR)
    if rng.random() < 0.5:
        image = image.rotate(rng.uniform(-14, 14), Image.BILINEAR, expand=True)
    pixels = np.asarray(image).astype(np.float32)
    colour, alpha = pixels[..., :3], pixels[..., 3:] / 255
    if rng.random() < 0.35:
        grey = colour.mean(-1, keepdims=True)
        colour = np.clip(grey + rng.choice([0.0, 0.4, 0.7, 1.5]) * (colour - grey), 0, 255)
    if rng.random() < 0.08:
        colour = colour[..., rng.sample(range(3), 3)]
    light = rng.uniform(0.65, 1.08)
    colour = colour * light * np.array([rng.uniform(0.75, 1.25) for _ in range(3)], np.float32)
    x, y = (round((SIDE - n) / 2 + rng.uniform(-0.1, 0.1) * SIDE) for n in image.size)
    out = background.astype(np.float32)
    x0, y0, x1, y1 = max(0, x), max(0, y), min(SIDE, x + image.width), min(SIDE, y + image.height)
    part = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
    out[y0:y1, x0:x1] += alpha[part] * (colour[part] - out[y0:y1, x0:x1])
    if rng.random() < 0.2:
        out += np.random.default_rng(rng.randrange(1 << 30)).normal(0, rng.uniform(1, 5), out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def batch(table, images, count, rng):
    """table: {kind: [(id, sprite)]} of one split; images u8 [n,256,256,3] give backgrounds.

    -> crops u8 [count,SIDE,SIDE,3], kind indices [count].  Drawings are drawn evenly by kind, then by family.
    """
    out, labels = np.empty((count, SIDE, SIDE, 3), np.uint8), np.empty(count, np.int64)
    for i in range(count):
        kind = rng.randrange(len(table))
        family = rng.choice(sorted({s.family for _, s in table[kind]}))
        sprite = rng.choice([s for _, s in table[kind] if s.family == family])
        picture = images[rng.randrange(len(images))]
        y, x = rng.randrange(40, 256 - SIDE - 40), rng.randrange(0, 256 - SIDE)
        out[i], labels[i] = crop(sprite, picture[y:y + SIDE, x:x + SIDE], rng), kind
    return out, labels


def shrink(table):
    """The table with drawings reduced to what a crop can show, which makes crops cheaper."""
    def small(sprite):
        image = Image.fromarray(sprite.pixels)
        image.thumbnail((80, 80), Image.LANCZOS)
        return replace(sprite, pixels=np.asarray(image))
    return {kind: [(i, small(s)) for i, s in entries] for kind, entries in table.items()}


def fixed_set(table, images, count, seed):
    """A reproducible test set of crops."""
    return batch(table, images, count, random.Random(seed))
