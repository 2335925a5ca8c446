# SPDX-License-Identifier: Apache-2.0
"""The toy world: random scene graphs and how they are painted.

A scene graph is a plain dict (JSON-able):
  width, height   size of the picture in pixels
  varied          whether drawings are painted with changed colours and proportions (training only)
  place, time, weather
  objects         list, main object first, then the others from left to right; each has
                  kind, count, box [x0,y0,x1,y1] in fractions of the picture, third, sprites (drawing ids),
                  relation (to the main object: left, right, above, below, behind; None for the main one)
  horizon, seed   painting details
"""
import io
import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from kinds import BY_NAME, KINDS

SIDE = 256                      # tower input
GRID = 8                        # tower tokens per side
MAX_OBJECTS = 4
PLACES = ["park", "beach", "city street", "farm field", "forest", "desert", "snowy mountain",
          "kitchen", "bedroom", "underwater"]
INDOOR = {"kitchen", "bedroom"}
TIMES = ["morning", "midday", "sunset", "night"]
WEATHERS = ["clear", "cloudy", "rainy", "snowy", "none"]
THIRDS = ["left", "center", "right"]
RELATIONS = ["left", "right", "above", "below", "behind"]
OUTDOOR = PLACES[:7]

# Where a group may be the main object.
HABITAT = {
    "pet": ["park", "beach", "city street", "farm field", "forest", "snowy mountain", "kitchen", "bedroom"],
    "farm": ["farm field", "park", "forest", "beach", "snowy mountain", "desert"],
    "wild": ["forest", "desert", "park", "snowy mountain", "beach", "farm field"],
    "flyer": ["park", "forest", "farm field", "beach", "city street", "desert"],
    "sea": ["underwater", "underwater", "underwater", "beach"],
    "person": OUTDOOR + ["kitchen", "bedroom"],
    "road": ["city street", "city street", "farm field", "desert", "beach", "snowy mountain", "forest"],
    "aircraft": OUTDOOR,
    "boat": ["beach", "beach", "park", "forest", "underwater"],
    "food": ["kitchen", "kitchen", "park", "beach", "farm field", "bedroom"],
    "thing": ["kitchen", "bedroom", "bedroom", "park", "beach", "city street", "underwater"],
    "plant": ["park", "forest", "farm field", "desert", "beach", "city street", "snowy mountain"],
    "building": ["farm field", "park", "city street", "snowy mountain", "beach", "forest", "desert"],
}
FLYING = {"flyer", "aircraft"}


# ---------------------------------------------------------------------------------------------------- graph

def third_of(x):
    """Horizontal third of a centre given as a fraction of the width."""
    return THIRDS[min(2, int(x * 3))]


def choose_weather(place, rng):
    if place in INDOOR or place == "underwater":
        return "none"
    if place == "snowy mountain":
        return rng.choice(["clear", "cloudy", "snowy", "snowy"])
    if place == "desert":
        return rng.choice(["clear", "clear", "cloudy"])
    return rng.choice(["clear", "clear", "cloudy", "rainy"])


def others_for(place, main, kinds, rng):
    """Kinds of the secondary objects: anything whose habitat contains the place, all different."""
    pool = [k for k in kinds if place in HABITAT[k.group] and k is not main]
    return rng.sample(pool, rng.choices(range(MAX_OBJECTS), [0.15, 0.37, 0.33, 0.15])[0])


def overlap(a, b):
    """Share of box b covered by box a."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, w) * max(0.0, h) / ((b[2] - b[0]) * (b[3] - b[1]))


def relation_to(main, box):
    """How `box` lies relative to the box of the main object."""
    if overlap(main, box) > 0.12:
        return "behind"
    dx = (box[0] + box[2] - main[0] - main[2]) / 2
    dy = (box[1] + box[3] - main[1] - main[3]) / 2
    if abs(dx) >= 0.8 * abs(dy):
        return "left" if dx < 0 else "right"
    return "above" if dy < 0 else "below"


def object_box(kind, count, size, sprite, aspect, third, horizon, varied, rng):
    """A random box in fractions for `count` copies of a sprite; size is a fraction of the shorter side."""
    h, w = sprite.pixels.shape[:2]
    if varied:
        w *= rng.uniform(0.85, 1.18)
    unit_w, unit_h = (size / max(1.0, aspect), size * min(1.0, aspect))       # shorter side -> fractions
    wide = w / max(w, h) * unit_w * (1 + 0.8 * (count - 1))
    high = h / max(w, h) * unit_h
    if wide > 0.94:
        high, wide = high * 0.94 / wide, 0.94
    low, top = wide / 2 + 0.01, 1 - wide / 2 - 0.01
    if third is not None:
        a, b = THIRDS.index(third) / 3 + 0.03, THIRDS.index(third) / 3 + 0.3
        low, top = max(low, a), min(top, b)
        if low > top:
            low = top = min(max((a + b) / 2, wide / 2), 1 - wide / 2)
    x = rng.uniform(low, top)
    if kind.group in FLYING:
        bottom = rng.uniform(min(high + 0.02, 0.9), max(high + 0.03, min(0.97, horizon + high * 0.35)))
    elif kind.group == "sea":
        bottom = rng.uniform(min(high + 0.1, 0.95), 0.97)
    else:
        bottom = rng.uniform(max(high + 0.02, min(0.9, horizon + 0.12)), 0.98)
    return [x - wide / 2, bottom - high, x + wide / 2, bottom]


def random_scene(seed, sprites_of, split="train"):
    """Scene graph from a seed.  sprites_of[split][kind index] is a list of (sprite id, Sprite), possibly empty."""
    rng = random.Random(seed)
    kinds = [k for k in KINDS if sprites_of[split][k.index]]
    shape = rng.choices(["square", "wide", "tall"], [0.45, 0.4, 0.15])[0]
    longest = rng.choice([256, 256, 320, 384])
    shortest = round(longest * rng.uniform(0.62, 0.85))
    width, height = {"square": (longest, longest), "wide": (longest, shortest), "tall": (shortest, longest)}[shape]
    main = rng.choice(kinds)
    place = rng.choice(HABITAT[main.group])
    horizon = rng.uniform(0.42, 0.6)
    scene = {"width": width, "height": height, "varied": split == "train", "place": place, "time": rng.choice(TIMES),
             "weather": choose_weather(place, rng), "horizon": horizon, "seed": rng.randrange(1 << 30), "objects": []}
    for kind in [main] + others_for(place, main, kinds, rng):
        first = not scene["objects"]
        for _ in range(12):
            sid, sprite = rng.choice(sprites_of[split][kind.index])
            count = rng.choices([1, 2, 3], [0.74, 0.18, 0.08] if first else [0.84, 0.13, 0.03])[0]
            size = rng.uniform(0.48, 0.7) if first else rng.uniform(0.24, 0.36)
            if first and count > 1:
                size *= 0.75
            third = rng.choice(THIRDS) if first else None
            box = object_box(kind, count, size, sprite, width / height, third, horizon, scene["varied"], rng)
            if box[1] < 0 or box[0] < 0 or box[2] > 1:
                continue
            main_box = scene["objects"][0]["box"] if not first else None
            clash = any(max(overlap(o["box"], box), overlap(box, o["box"])) > 0.05 for o in scene["objects"][1:])
            hidden = overlap(main_box, box) if main_box else 0.0
            if clash or hidden > 0.5 or 0.05 < hidden < 0.16 or (hidden and rng.random() < 0.4):
                continue
            relation = relation_to(main_box, box) if main_box else None
            scene["objects"].append({"kind": kind.name, "count": count, "box": box, "relation": relation,
                                     "third": third_of((box[0] + box[2]) / 2), "sprite": sid})
            break
        if not scene["objects"]:
            return random_scene(seed + 1_000_003, sprites_of, split)
    scene["objects"][1:] = sorted(scene["objects"][1:], key=lambda o: o["box"][0] + o["box"][2])
    return scene


# ----------------------------------------------------------------------------------------------- background

SKY = {  # time -> colours at the top and at the horizon
    "morning": ((165, 195, 230), (255, 214, 165)), "midday": ((60, 140, 235), (175, 220, 250)),
    "sunset": ((110, 70, 130), (255, 140, 60)), "night": ((8, 12, 40), (35, 45, 90))}
TINT = {"morning": (1.0, 0.92, 0.78), "midday": (1.0, 1.0, 1.0), "sunset": (0.95, 0.7, 0.58), "night": (0.4, 0.44, 0.66)}


def jitter(colour, rng, amount=14):
    return tuple(max(0, min(255, int(c + rng.uniform(-amount, amount)))) for c in colour)


def mix(a, b, t):
    return tuple(int(x + (y - x) * t) for x, y in zip(a, b))


def gradient(size, top, bottom):
    """Vertical gradient picture."""
    w, h = size
    t = np.linspace(0, 1, h)[:, None, None]
    rows = np.array(top)[None, None] * (1 - t) + np.array(bottom)[None, None] * t
    return Image.fromarray(np.broadcast_to(rows, (h, w, 3)).astype(np.uint8))


class Painter:
    """Paints one background; coordinates are fractions of the picture."""

    def __init__(self, scene, size):
        self.rng = random.Random(scene["seed"])
        self.scene, self.size, self.horizon = scene, size, scene["horizon"]
        self.time, self.weather = scene["time"], scene["weather"]
        self.dull = self.weather in ("cloudy", "rainy", "snowy")

    def shade(self, colour, amount=14):
        """Colour of a daylight surface under this scene's light."""
        tint = TINT[self.time]
        grey = 0.88 if self.dull else 1.0
        return tuple(int(c * t * grey) for c, t in zip(jitter(colour, self.rng, amount), tint))

    def px(self, points):
        w, h = self.size
        return [(x * w, y * h) for x, y in points]

    def poly(self, points, colour):
        self.draw.polygon(self.px(points), fill=colour)

    def rect(self, x0, y0, x1, y1, colour):
        self.draw.rectangle(self.px([(x0, y0), (x1, y1)]), fill=colour)

    def disc(self, x, y, r, colour):
        """Circle of radius r (fraction of the width)."""
        w, h = self.size
        self.draw.ellipse([x * w - r * w, y * h - r * w, x * w + r * w, y * h + r * w], fill=colour)

    def ridge(self, base, amplitude, colour, bumps=3):
        """Filled wavy hill line from the left edge to the right edge."""
        a, b = self.rng.uniform(0, 6.3), self.rng.uniform(0, 6.3)
        points = [(x / 24, base - amplitude * (0.6 * math.sin(a + bumps * x / 24 * 3) + 0.4 * math.sin(b + bumps * x / 24 * 7)))
                  for x in range(25)]
        self.poly(points + [(1, 1.01), (0, 1.01)], colour)

    def sky(self):
        top, low = (jitter(c, self.rng, 12) for c in SKY[self.time])
        if self.dull:
            grey = (70, 74, 88) if self.time == "night" else (165, 170, 178)
            top, low = mix(top, grey, 0.62), mix(low, grey, 0.5)
        w, h = self.size
        self.image.paste(gradient((w, max(1, int(h * (self.horizon + 0.08)))), top, low), (0, 0))
        if not self.dull:
            self.lights()
        self.clouds(low)

    def lights(self):
        """Sun, or moon and stars."""
        rng, x = self.rng, self.rng.uniform(0.08, 0.92)
        if self.time == "night":
            for _ in range(45):
                self.disc(rng.random(), rng.random() * self.horizon, rng.uniform(0.0015, 0.004), (235, 235, 210))
            y = rng.uniform(0.1, 0.2)
            self.disc(x, y, 0.05, (240, 238, 205))
            self.disc(x + 0.022, y - 0.01, 0.043, (14, 18, 48))
        elif self.time == "midday":
            self.disc(x, rng.uniform(0.08, 0.15), 0.055, (255, 240, 120))
        elif self.time == "morning":
            self.disc(x, self.horizon - 0.1, 0.05, (255, 246, 205))
        else:
            self.disc(x, self.horizon - 0.04, 0.085, (255, 95, 45))

    def clouds(self, low):
        rng = self.rng
        base = {"night": (60, 66, 96), "sunset": (235, 160, 140)}.get(self.time, (250, 250, 250))
        number = rng.randint(5, 8) if self.dull else rng.randint(0, 2)
        colour = mix(base, (110, 114, 126), 0.62 if self.weather == "rainy" else 0.3) if self.dull else base
        for _ in range(number):
            x, y, r = rng.random(), rng.uniform(0.03, self.horizon * 0.6), rng.uniform(0.03, 0.06)
            tone = jitter(colour, rng, 8)
            for dx in (-1.4, -0.5, 0.5, 1.4):
                self.disc(x + dx * r, y + rng.uniform(-0.3, 0.3) * r, r * rng.uniform(0.75, 1.15), tone)

    def ground(self, colour, top=None):
        top = self.horizon if top is None else top
        w, h = self.size
        near, far = self.shade(colour), self.shade(mix(colour, (255, 255, 255), 0.18))
        self.image.paste(gradient((w, h - int(top * h)), far, near), (0, int(top * h)))

    def conifer(self, x, base, size, colour):
        for i in range(3):
            y = base - size * (0.15 + 0.27 * i)
            half = size * (0.3 - 0.07 * i)
            self.poly([(x - half, y), (x + half, y), (x, y - size * 0.42)], colour)

    def park(self):
        self.sky()
        self.ridge(self.horizon - 0.02, 0.05, self.shade((110, 165, 95)))
        for _ in range(self.rng.randint(3, 6)):
            x, s = self.rng.random(), self.rng.uniform(0.035, 0.06)
            self.rect(x - 0.006, self.horizon - 0.03, x + 0.006, self.horizon + 0.03, self.shade((100, 80, 55)))
            self.disc(x, self.horizon - 0.05, s, self.shade((70, 130, 65)))
        self.ground((105, 185, 80))
        x = self.rng.uniform(0.2, 0.8)
        self.poly([(x - 0.02, self.horizon), (x + 0.02, self.horizon), (x + 0.3, 1.01), (x - 0.05, 1.01)], self.shade((215, 195, 150)))

    def beach(self):
        self.sky()
        sea = self.horizon + self.rng.uniform(0.1, 0.16)
        self.rect(0, self.horizon, 1, sea, self.shade((40, 130, 190)))
        for _ in range(14):
            x, y = self.rng.random(), self.rng.uniform(self.horizon + 0.01, sea - 0.01)
            self.rect(x, y, x + 0.06, y + 0.006, self.shade((150, 205, 230)))
        self.ground((238, 215, 155), sea)
        self.rect(0, sea - 0.012, 1, sea + 0.008, self.shade((245, 245, 240)))

    def city_street(self):
        self.sky()
        x = -0.02
        while x < 1:
            w, top = self.rng.uniform(0.1, 0.2), self.rng.uniform(0.08, self.horizon - 0.12)
            self.rect(x, top, x + w, self.horizon + 0.02, self.shade(self.rng.choice([(150, 110, 100), (130, 140, 155), (175, 165, 140), (110, 115, 130)])))
            lit = (255, 225, 120) if self.time in ("night", "sunset") else self.shade((190, 215, 235))
            for i in range(3):
                y = top + 0.03
                while y < self.horizon - 0.05:
                    if self.rng.random() < 0.75:
                        self.rect(x + w * (0.12 + 0.29 * i), y, x + w * (0.12 + 0.29 * i) + w * 0.17, y + 0.03, lit)
                    y += 0.065
            x += w + self.rng.uniform(0, 0.02)
        self.ground((105, 105, 112))
        self.rect(0, self.horizon, 1, self.horizon + 0.07, self.shade((185, 180, 172)))
        y = self.rng.uniform(0.72, 0.84)
        for i in range(5):
            self.rect(0.05 + 0.21 * i, y, 0.15 + 0.21 * i, y + 0.02, self.shade((240, 235, 200)))

    def farm_field(self):
        self.sky()
        self.ridge(self.horizon - 0.01, 0.03, self.shade((140, 170, 90)))
        x = self.rng.uniform(0.1, 0.8)
        y = self.horizon
        self.rect(x, y - 0.1, x + 0.13, y + 0.02, self.shade((165, 55, 45)))
        self.poly([(x - 0.015, y - 0.1), (x + 0.145, y - 0.1), (x + 0.065, y - 0.16)], self.shade((110, 60, 55)))
        self.ground((200, 180, 80))
        stripe = self.shade((165, 145, 55))
        for i in range(-8, 9):
            self.poly([(0.5 + i * 0.05, y + 0.01), (0.508 + i * 0.05, y + 0.01), (0.53 + i * 0.2, 1.01), (0.49 + i * 0.2, 1.01)], stripe)
        post = self.shade((150, 110, 70))
        for i in range(9):
            self.rect(i * 0.125 + 0.02, y + 0.005, i * 0.125 + 0.035, y + 0.075, post)
        self.rect(0, y + 0.025, 1, y + 0.035, post)

    def forest(self):
        self.sky()
        self.rect(0, self.horizon - 0.16, 1, self.horizon + 0.02, self.shade((45, 85, 60)))
        for layer, colour in ((0.0, (40, 90, 60)), (0.03, (28, 70, 45))):
            for _ in range(9):
                self.conifer(self.rng.random(), self.horizon + layer + 0.02, self.rng.uniform(0.28, 0.46), self.shade(colour))
        self.ground((75, 105, 55), self.horizon + 0.02)
        for _ in range(16):
            self.disc(self.rng.random(), self.rng.uniform(self.horizon + 0.06, 1), 0.012, self.shade((55, 85, 40)))

    def desert(self):
        self.sky()
        x = self.rng.uniform(0.05, 0.7)
        y = self.horizon
        self.poly([(x, y), (x + 0.04, y - 0.13), (x + 0.2, y - 0.13), (x + 0.26, y)], self.shade((190, 110, 70)))
        self.ground((230, 175, 100))
        self.ridge(y + 0.03, 0.03, self.shade((225, 165, 90)), 2)
        self.ridge(y + 0.2, 0.04, self.shade((240, 185, 110)), 2)
        self.ridge(y + 0.38, 0.03, self.shade((228, 170, 95)), 2)

    def snowy_mountain(self):
        self.sky()
        for _ in range(3):
            x, high, half = self.rng.random(), self.rng.uniform(0.25, 0.38), self.rng.uniform(0.22, 0.34)
            y = self.horizon + 0.03
            self.poly([(x - half, y), (x, y - high), (x + half, y)], self.shade((120, 130, 150)))
            self.poly([(x - half * 0.45, y - high * 0.55), (x, y - high), (x + half * 0.45, y - high * 0.55),
                       (x + half * 0.15, y - high * 0.62), (x - half * 0.1, y - high * 0.5)], self.shade((245, 248, 255), 4))
        self.ground((236, 242, 252))
        self.ridge(self.horizon + 0.2, 0.03, self.shade((226, 234, 248), 5), 2)
        for _ in range(self.rng.randint(1, 4)):
            self.conifer(self.rng.random(), self.horizon + 0.05, self.rng.uniform(0.12, 0.2), self.shade((70, 110, 95)))

    def window(self, x, y, w, h, frame):
        """Window onto the sky: indoors it carries the time of day."""
        self.rect(x - 0.015, y - 0.015, x + w + 0.015, y + h + 0.015, frame)
        pw, ph = max(2, int(w * self.size[0])), max(2, int(h * self.size[1]))
        top, low = (jitter(c, self.rng, 10) for c in SKY[self.time])
        self.image.paste(gradient((pw, ph), top, low), (int(x * self.size[0]), int(y * self.size[1])))
        cx, cy = x + w * self.rng.uniform(0.25, 0.75), y + h * (0.75 if self.time == "sunset" else 0.6 if self.time == "morning" else 0.3)
        colour = {"night": (240, 238, 205), "midday": (255, 240, 120), "morning": (255, 246, 205), "sunset": (255, 95, 45)}[self.time]
        self.disc(cx, cy, 0.028, colour)
        if self.time == "night":
            self.disc(cx + 0.012, cy - 0.006, 0.024, (14, 18, 48))
        self.rect(x + w / 2 - 0.006, y, x + w / 2 + 0.006, y + h, frame)

    def kitchen(self):
        self.rect(0, 0, 1, 1, self.shade((240, 235, 220)))
        line = self.shade((205, 200, 188), 5)
        for i in range(1, 12):
            self.rect(i / 12, 0, i / 12 + 0.004, self.horizon, line)
            self.rect(0, i / 12 * 0.9, 1, i / 12 * 0.9 + 0.004, line)
        cupboard = self.shade(self.rng.choice([(170, 115, 70), (95, 150, 160), (190, 190, 185), (130, 160, 110)]))
        left = self.rng.random() < 0.5
        a, b = (0, 0.42) if left else (0.58, 1)
        self.rect(a, 0, b, 0.16, cupboard)
        for i in range(1, 3):
            self.rect(a + (b - a) * i / 3, 0, a + (b - a) * i / 3 + 0.006, 0.16, self.shade((80, 60, 50)))
        self.window(0.6 if left else 0.1, 0.07, 0.27, 0.24, self.shade((250, 250, 250)))
        y = self.horizon
        self.rect(0, y - 0.02, 1, y + 0.03, self.shade((90, 85, 90)))
        self.rect(0, y + 0.03, 1, 1, cupboard)
        for i in range(5):
            self.rect(0.02 + i * 0.2, y + 0.07, 0.18 + i * 0.2, y + 0.3, mix(cupboard, (255, 255, 255), 0.12))
        self.ground((200, 185, 170), y + 0.3)

    def bedroom(self):
        wall = self.rng.choice([(215, 190, 215), (180, 205, 225), (235, 215, 180), (190, 220, 195), (225, 180, 180)])
        self.rect(0, 0, 1, 1, self.shade(wall))
        left = self.rng.random() < 0.5
        self.window(0.62 if left else 0.1, 0.07, 0.28, 0.26, self.shade((245, 240, 235)))
        curtain = self.shade(self.rng.choice([(190, 70, 80), (70, 100, 160), (220, 180, 90)]))
        for x in ((0.57, 0.91) if left else (0.05, 0.39)):
            self.rect(x, 0.03, x + 0.05, 0.38, curtain)
        self.ground((175, 125, 80), self.horizon + 0.1)
        for i in range(1, 5):
            y = self.horizon + 0.1 + i * i * 0.02
            self.rect(0, y, 1, y + 0.004, self.shade((140, 95, 60)))
        x0, x1 = (-0.02, 0.45) if left else (0.55, 1.02)
        y = self.horizon
        blanket = self.shade(self.rng.choice([(70, 110, 190), (200, 90, 110), (100, 160, 120), (230, 200, 120)]))
        self.rect(x0, y - 0.16, x0 + 0.05 if left else x1, y + 0.2, self.shade((120, 80, 50)))
        self.rect(x0, y - 0.03, x1, y + 0.16, blanket)
        px = x0 + 0.06 if left else x1 - 0.2
        self.rect(px, y - 0.07, px + 0.14, y + 0.0, self.shade((250, 250, 245)))

    def underwater(self):
        light = {"morning": (95, 195, 205), "midday": (60, 175, 240), "sunset": (190, 130, 130), "night": (14, 32, 80)}[self.time]
        deep = {"morning": (25, 110, 135), "midday": (10, 85, 165), "sunset": (75, 50, 105), "night": (4, 10, 36)}[self.time]
        self.image.paste(gradient(self.size, jitter(light, self.rng), jitter(deep, self.rng)), (0, 0))
        if self.time != "night":
            for _ in range(3):
                x = self.rng.random()
                self.poly([(x, 0), (x + 0.05, 0), (x - 0.05, 0.7), (x - 0.15, 0.7)], mix(light, deep, 0.3))
        self.ridge(0.86, 0.03, self.shade((200, 180, 125)), 2)
        for _ in range(self.rng.randint(4, 8)):
            x, high = self.rng.random(), self.rng.uniform(0.12, 0.3)
            weed = self.shade((50, 140, 80))
            for i in range(6):
                self.disc(x + 0.012 * math.sin(i * 1.4), 0.92 - high * i / 6, 0.013, weed)
        for _ in range(14):
            x, y, r = self.rng.random(), self.rng.random() * 0.85, self.rng.uniform(0.004, 0.013)
            self.disc(x, y, r, mix(light, (255, 255, 255), 0.5))
            self.disc(x, y, r * 0.6, mix(light, deep, 0.3))

    def paint(self):
        """The background as an RGB picture."""
        self.image = Image.new("RGB", self.size)
        self.draw = ImageDraw.Draw(self.image)
        getattr(self, self.scene["place"].replace(" ", "_"))()
        return self.image


def precipitation(image, scene, rng):
    """Rain streaks or snow flakes in front of everything."""
    w, h = image.size
    draw = ImageDraw.Draw(image, "RGBA")
    unit = w / 256
    if scene["weather"] == "rainy":
        for _ in range(90):
            x, y, n = rng.random() * w, rng.random() * h, rng.uniform(8, 16) * unit
            draw.line([x, y, x - n * 0.3, y + n], fill=(215, 225, 240, 120), width=max(1, round(unit)))
    elif scene["weather"] == "snowy":
        for _ in range(90):
            x, y, r = rng.random() * w, rng.random() * h, rng.uniform(0.8, 2.2) * unit
            draw.ellipse([x - r, y - r, x + r, y + r], fill=(255, 255, 255, 215))


# -------------------------------------------------------------------------------------------------- objects

def colour_matrix(rng):
    """A random change of colour [3,3]: hue, saturation and the strength of each channel."""
    hue = rng.gauss(0, 0.2) if rng.random() < 0.92 else rng.uniform(-3.14, 3.14)
    c, s = math.cos(hue), math.sin(hue)
    turn = c * np.eye(3) + (1 - c) / 3 + s / math.sqrt(3) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    strength = rng.choice([0.0, 0.3]) if rng.random() < 0.08 else rng.uniform(0.6, 1.35)
    matrix = (strength * np.eye(3) + (1 - strength) / 3) @ turn
    return (matrix * [[rng.uniform(0.85, 1.15)] for _ in range(3)] * rng.uniform(0.8, 1.1)).astype(np.float32)


def sprite_image(sprite, box, size, scene, mirror, angle, rng):
    """One sprite scaled to its pixel box, turned a little and lit by the time of day (RGBA)."""
    w, h = max(3, round(box[2] * size[0]) - round(box[0] * size[0])), max(3, round(box[3] * size[1]) - round(box[1] * size[1]))
    image = Image.fromarray(sprite.pixels)
    if mirror:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    image = image.resize((w, h), Image.BILINEAR, reducing_gap=2.0)
    if angle:
        image = image.rotate(angle, Image.BILINEAR)
    pixels = np.asarray(image).astype(np.float32)
    if scene["varied"]:
        pixels[..., :3] = pixels[..., :3] @ colour_matrix(rng).T
    light = np.array(TINT[scene["time"]]) * 0.45 + 0.55 if scene["place"] != "underwater" else np.array([0.85, 0.95, 1.0])
    light = light * (1 + np.array([rng.uniform(-0.06, 0.06) for _ in range(3)]))
    pixels[..., :3] = np.clip(pixels[..., :3] * light, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def member_boxes(obj, rng):
    """Splits the box of `count` copies into single boxes, from left to right, slightly overlapping."""
    x0, y0, x1, y1 = obj["box"]
    n = obj["count"]
    each = (x1 - x0) / (1 + 0.8 * (n - 1))
    return [[x0 + 0.8 * each * i, y0, x0 + 0.8 * each * i + each, y1] for i in range(n)]


def paint_scene(scene, sprites, detail=1):
    """Scene graph -> (RGB picture, list of visible alpha masks f32 [h,w], one per object).

    detail 2 paints the background at double size and reduces it, for smooth edges.
    """
    size = (scene["width"], scene["height"])
    rng = random.Random(scene["seed"] + 1)
    image = Painter(scene, (size[0] * detail, size[1] * detail)).paint()
    if detail > 1:
        image = image.reduce(detail)
    masks = [None] * len(scene["objects"])
    order = sorted(range(1, len(masks)), key=lambda i: scene["objects"][i]["box"][3])
    behind = [i for i in order if scene["objects"][i]["relation"] == "behind"]
    for i in behind + [0] + [i for i in order if i not in behind]:
        obj = scene["objects"][i]
        kind, sprite = BY_NAME[obj["kind"]], sprites[obj["sprite"]]
        mirror, angle = rng.random() < 0.5, rng.uniform(-9, 9) if rng.random() < 0.5 else 0
        mine = np.zeros((size[1], size[0]), np.float32)
        for box in member_boxes(obj, rng):
            picture = sprite_image(sprite, box, size, scene, mirror, angle, rng)
            at = (round(box[0] * size[0]), round(box[1] * size[1]))
            if kind.group not in FLYING and kind.group != "sea":
                shadow = Image.new("L", (picture.width, max(3, picture.height // 8)))
                ImageDraw.Draw(shadow).ellipse([0, 0, shadow.width - 1, shadow.height - 1], fill=70)
                image.paste((20, 20, 30), (at[0], at[1] + picture.height - shadow.height // 2 - 1), shadow)
            image.paste(picture, at, picture)
            layer = Image.new("L", size)
            layer.paste(picture.getchannel("A"), at)
            mine = np.maximum(mine, np.asarray(layer, np.float32) / 255)
        for other in masks:
            if other is not None:
                other *= 1 - mine
        masks[i] = mine
    precipitation(image, scene, rng)
    return image, masks


def pad_square(image):
    """Black square around the picture, as predict.py does."""
    side = max(image.size)
    square = Image.new("RGB", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def tower_input(image):
    """PIL picture -> u8 [256,256,3]: pad to square, PIL bicubic."""
    return np.asarray(pad_square(image.convert("RGB")).resize((SIDE, SIDE), Image.BICUBIC))


def coverage(masks, size):
    """Masks -> share of each tower cell covered by each object, f32 [MAX_OBJECTS, GRID, GRID]."""
    side = max(size)
    out = np.zeros((MAX_OBJECTS, GRID, GRID), np.float32)
    for i, mask in enumerate(masks):
        square = np.zeros((side, side), np.float32)
        y, x = (side - size[1]) // 2, (side - size[0]) // 2
        square[y:y + size[1], x:x + size[0]] = mask
        out[i] = square.reshape(GRID, side // GRID, GRID, side // GRID).mean((1, 3))
    return out


def camera(image, rng):
    """Camera faults: brightness, contrast, colour, blur, noise, JPEG."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.5:
            image = enhance(image).enhance(rng.uniform(0.88, 1.12))
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.4:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=rng.randint(50, 92))
        image = Image.open(data)
    return image


def render(scene, sprites):
    """Scene graph -> (tower input u8 [256,256,3], coverage f32 [MAX_OBJECTS,8,8])."""
    rng = random.Random(scene["seed"] + 2)
    image, masks = paint_scene(scene, sprites, detail=2 if rng.random() < 0.5 else 1)
    return tower_input(camera(image, rng)), coverage(masks, image.size)


def index_sprites(sprites):
    """Sprites -> {split: {kind: [(id, sprite), ...]}}; "all" holds both splits."""
    table = {split: {k.index: [] for k in KINDS} for split in ("train", "test", "all")}
    for i, sprite in enumerate(sprites):
        table[sprite.split][sprite.kind].append((i, sprite))
        table["all"][sprite.kind].append((i, sprite))
    return table
