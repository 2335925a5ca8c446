# SPDX-License-Identifier: Apache-2.0
"""Small pictures of single drawings, made in batches: a cheap first lesson for the tower before whole scenes."""
import math
import random

import numpy as np
import torch
import torch.nn.functional as F

import scenes

SIDE = 64
CANVAS = 96                     # side of a drawing in the atlas
BACKGROUNDS, PATCH = 1500, 128
BEND = 0.14                     # greatest strength of the bending
CRUMPLE = 0.08                  # the same on a scene: the tower then names 82 % of the main objects that it was trained on, 81 % of unseen ones


def backgrounds(work):
    """Painted scenes without objects u8 [BACKGROUNDS,3,PATCH,PATCH], cached in WORK."""
    path = work / "backgrounds.npy"
    if not path.exists():
        out = np.empty((BACKGROUNDS, 3, PATCH, PATCH), np.uint8)
        for i in range(BACKGROUNDS):
            rng = random.Random(f"background {i}")
            place = rng.choice(scenes.PLACES)
            scene = {"place": place, "time": rng.choice(scenes.TIMES), "weather": scenes.choose_weather(place, rng),
                     "horizon": rng.uniform(0.42, 0.6), "seed": i}
            image = scenes.Painter(scene, (2 * PATCH, 2 * PATCH)).paint().reduce(2)
            scenes.precipitation(image, scene, rng)
            out[i] = np.asarray(image).transpose(2, 0, 1)
        np.save(path, out)
    return np.load(path)


def bend(count, side, dice, strength=BEND, knots=5):
    """Smooth random displacements [count,side,side,2] in units of half a picture, as grid_sample takes them."""
    strengths = strength * torch.rand(count, 1, 1, 1, generator=dice)
    moves = strengths * torch.randn(count, 2, knots, knots, generator=dice)
    return F.interpolate(moves, (side, side), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def crumpled(images):
    """Pictures u8 [n,side,side,3], of which every second one has its drawings bent out of shape, each in its place.

    The tower knows the drawings in them about as well as drawings that it never saw. What learns from its tokens thus learns
    how far to trust them, and when to believe the object tags instead.
    """
    out, part = np.array(images), 64        # at a time
    side = out.shape[1]
    still = F.affine_grid(torch.eye(2, 3)[None], (1, 3, side, side), align_corners=False)
    for at in range(1, len(out), part):
        odd = torch.from_numpy(out[at:at + part:2]).permute(0, 3, 1, 2).float()
        moves = bend(len(odd), side, torch.Generator().manual_seed(at), CRUMPLE, knots=13)
        odd = F.grid_sample(odd, still + moves, padding_mode="border", align_corners=False)
        out[at:at + part:2] = odd.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return out


class Atlas:
    """All drawings of one split on equal canvases, and the random pictures made of them."""

    def __init__(self, sprites, patches):
        """patches u8 [n,3,PATCH,PATCH]."""
        self.patches = torch.from_numpy(patches)
        self.drawings = torch.from_numpy(np.stack([self.canvas(s.pixels) for s in sprites]))
        self.groups = []
        for kind in range(max(s.kind for s in sprites) + 1):
            families = {}
            for i, sprite in enumerate(sprites):
                if sprite.kind == kind:
                    families.setdefault(sprite.family, []).append(i)
            self.groups.append(list(families.values()))
        self.kinds = [kind for kind, families in enumerate(self.groups) if families]

    @staticmethod
    def canvas(pixels):
        """RGBA u8 [h,w,4] -> u8 [4,CANVAS,CANVAS], centred, colours times alpha."""
        x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)
        x = torch.cat([x[:3] * x[3:] / 255, x[3:]])
        scale = CANVAS * 0.98 / max(x.shape[1:])
        size = [max(2, min(CANVAS, round(v * scale))) for v in x.shape[1:]]
        x = F.interpolate(x[None], size, mode="bilinear", antialias=True)[0]
        out = np.zeros((4, CANVAS, CANVAS), np.uint8)
        top, left = ((CANVAS - v) // 2 for v in size)
        out[:, top:top + size[0], left:left + size[1]] = x.round().clamp(0, 255).numpy()
        return out

    def batch(self, count, seed, bent=False, side=SIDE):
        """-> pixels f32 [count,3,side,side] in 0..1 and kinds [count]; drawn evenly by kind, then by family."""
        rng, dice = random.Random(seed), torch.Generator().manual_seed(seed)
        kinds = [self.kinds[rng.randrange(len(self.kinds))] for _ in range(count)]
        picks = [rng.choice(rng.choice(self.groups[k])) for k in kinds]
        moves, colours = torch.empty(count, 2, 3), torch.empty(count, 3, 3)
        back = torch.empty(count, 3, side, side)
        for i in range(count):
            moves[i] = torch.tensor(self.move(rng))
            colours[i] = torch.from_numpy(scenes.colour_matrix(rng)) * rng.uniform(0.6, 1.05)
            y, x = (rng.randrange(PATCH - side + 1) for _ in range(2))
            back[i] = self.patches[rng.randrange(len(self.patches)), :, y:y + side, x:x + side]
        grid = F.affine_grid(moves, (count, 4, side, side), align_corners=False)
        if bent:
            grid = grid + bend(count, side, dice)
        front = F.grid_sample(self.drawings[picks].float(), grid, align_corners=False)
        for i in range(count):
            if rng.random() < 0.3:                                   # something hides a part
                y, x = (rng.randrange(side) for _ in range(2))
                front[i, :, y:y + rng.randrange(side // 3), x:x + rng.randrange(side // 3)] = 0
            if rng.random() < 0.2:
                front[i] = F.avg_pool2d(front[i][None], 3, 1, 1)[0]
        alpha = front[:, 3:]
        paint = torch.minimum(torch.einsum("nij,njhw->nihw", colours, front[:, :3]).clamp(min=0), alpha)
        out = back * (1 - alpha / 255) + paint
        out += torch.randn(1, 3, side, side, generator=dice) * (4 * torch.rand(count, 1, 1, 1, generator=dice) ** 3)
        return (out / 255).clamp(0, 1).contiguous(memory_format=torch.channels_last), torch.tensor(kinds)

    @staticmethod
    def move(rng):
        """Random map from picture to canvas coordinates [2,3]: size, proportions, turn, shear, mirror, place."""
        size = rng.uniform(0.62, 1.1)
        wide, high = size * rng.uniform(0.85, 1.18), size * rng.uniform(0.9, 1.1)
        angle = rng.gauss(0, 0.15) if rng.random() < 0.6 else 0.0
        shear = rng.gauss(0, 0.1) if rng.random() < 0.5 else 0.0
        mirror = rng.choice([-1, 1])
        c, s = math.cos(angle), math.sin(angle)
        a = [[mirror * c / wide, mirror * (s + shear) / wide], [-s / high, c / high]]
        x, y = (rng.uniform(-0.2, 0.2) for _ in range(2))
        return [[a[0][0], a[0][1], -a[0][0] * x - a[0][1] * y], [a[1][0], a[1][1], -a[1][0] * x - a[1][1] * y]]
