# SPDX-License-Identifier: Apache-2.0
"""Seven-point captions, plain sentences, object tags and prompts written from a scene graph.

Every statement follows from the graph.  Words that carry a fact about the picture are wrapped in the
control characters FACT and END so that training can weigh them more; `plain` removes the marks.
"""
import re
from pathlib import Path

from kinds import BY_NAME, KINDS
from scenes import FLYING, INDOOR, THIRDS

FACT, END = "\x01", "\x02"
SECTIONS = ["Main Focus", "Surrounding Objects & Context", "Spatial Relationships", "Activities & Interactions",
            "Scene Type & Time", "Inferences & Intent", "Style & Aesthetic"]
SEVEN_POINT = (Path(__file__).resolve().parents[2] / "prompts" / "seven_point.txt").read_text().rstrip("\n")
OUTLINE = "Describe the scene in seven points."
SHORT_PROMPTS = ["Describe the image.", "Describe the image.", "What is in the picture?", "Write a short caption."]
DETAIL_PROMPTS = ["Describe the image in detail.", "Tell me more about the picture."]
TAG_HEADER = "The following objects were detected in the scene with bounding boxes:"
STRAY_TAGS = ["kite", "bench", "potted plant", "tv", "vase", "bowl", "donut", "frisbee", "stop sign", "surfboard"]

NUMBERS = {2: "two", 3: "three"}
GROUPED = {"scissors": "pair of scissors", "grapes": "bunch of grapes"}
ANIMATE = {"pet", "farm", "wild", "flyer", "sea", "person"}
BACKDROP = {
    "park": ["a green lawn with a pale path and round trees", "grass, low hills and a footpath", "a grassy park with soft hills"],
    "beach": ["sand with the blue sea behind it", "a sandy shore and a strip of sea", "pale sand and calm water"],
    "city street": ["tall buildings with many windows and a road", "a row of city buildings above the road", "a paved road, a sidewalk and tall buildings"],
    "farm field": ["plowed rows, a wooden fence and a red barn", "a golden field with a fence and a barn", "a red barn and long field rows"],
    "forest": ["a dense wall of dark pine trees", "dark conifers above the forest floor", "tall pine trees and mossy ground"],
    "desert": ["sandy dunes and a distant rock", "orange dunes under a wide sky", "dry sand and a flat-topped rock"],
    "snowy mountain": ["snow-capped peaks and white ground", "white snow and gray mountains", "mountain peaks above fresh snow"],
    "kitchen": ["a tiled wall, cupboards and a window", "kitchen cupboards and a tiled wall with a window", "a counter, tiles and a small window"],
    "bedroom": ["a bed, curtains and a wooden floor", "a bed beside a window with curtains", "a painted wall, a bed and a window"],
    "underwater": ["seaweed, rising bubbles and a sandy seabed", "bubbles and seaweed in deep water", "a sandy sea floor with waving seaweed"],
}
SURFACE = {"park": "grass", "beach": "sand", "city street": "road", "farm field": "field", "forest": "forest floor", "desert": "sand",
           "snowy mountain": "snow", "kitchen": "kitchen floor", "bedroom": "bedroom floor", "underwater": "seabed"}
TIME_PHRASE = {"morning": ["in the morning", "early in the morning"], "midday": ["at midday", "around midday"],
               "sunset": ["at sunset", "around sunset"], "night": ["at night", "late at night"]}
SKY_PHRASE = {"clear": ["a clear sky", "an open, clear sky"], "cloudy": ["a cloudy sky", "gray clouds"],
              "rainy": ["a rainy sky", "falling rain"], "snowy": ["falling snow", "a snowy sky"]}
MOOD = {
    ("morning", False): ["soft and fresh, with warm pale light", "calm and gentle, lit by early light"],
    ("midday", False): ["bright and cheerful, with vivid colors", "sunny and lively, with strong colors"],
    ("sunset", False): ["warm and glowing, with orange light", "golden and dreamy, with orange and purple tones"],
    ("night", False): ["dark and quiet, with deep blue tones", "calm and mysterious, in dark blue colors"],
    ("morning", True): ["muted and fresh, with pale gray light", "quiet and soft, under gray morning light"],
    ("midday", True): ["muted and even, with gray daylight", "subdued, with flat gray light"],
    ("sunset", True): ["moody and warm, with dull orange light", "subdued, with orange light behind gray clouds"],
    ("night", True): ["dark and gloomy, with dull blue tones", "gloomy and still, in dark gray-blue colors"],
}
ACTION = {      # group -> (verb phrases singular without s, used with "is/are ...ing")
    "pet": ["resting on the {surface}", "sitting on the {surface} and looking around"],
    "farm": ["standing on the {surface}", "pausing on the {surface}"],
    "wild": ["standing still on the {surface}", "exploring the {surface}"],
    "flyer": ["fluttering through the air", "flying through the scene"],
    "sea": ["swimming through the water", "drifting in the water"],
    "person": ["moving across the {surface}", "passing over the {surface}"],
    "road": ["waiting on the {surface}", "stopped on the {surface}"],
    "aircraft": ["flying through the air", "hovering in the air"],
    "boat": ["floating and rocking gently", "waiting to sail"],
    "food": ["lying on the {surface}, ready to eat", "resting on the {surface}, untouched"],
    "thing": ["lying on the {surface}", "resting on the {surface}"],
    "plant": ["growing from the {surface}", "rising from the {surface}"],
    "building": ["standing firmly on the {surface}", "resting quietly on the {surface}"],
}
NEXT = {
    "pet": ["may soon run off to play", "may be waiting for its owner", "might look for food next"],
    "farm": ["may wander off to find food", "might walk on in a moment", "may return to the barn later"],
    "wild": ["may move on to find food", "might hide if someone comes close", "may wander away soon"],
    "flyer": ["may land nearby soon", "might fly away in a moment", "is probably looking for food"],
    "sea": ["may swim away soon", "might be looking for food", "could dive deeper next"],
    "person": ["is probably on the way home", "may be heading to meet a friend", "might stop for a rest soon"],
    "road": ["may drive off soon", "probably arrived a short time ago", "could be waiting for a driver"],
    "aircraft": ["may land soon", "probably took off a short time ago", "could be heading far away"],
    "boat": ["may set sail soon", "probably arrived a short time ago", "could be waiting for its crew"],
    "food": ["may be eaten soon", "was probably left there as a snack", "could be part of a meal"],
    "thing": ["was probably left there by someone", "may be picked up soon", "could belong to someone nearby"],
    "plant": ["will probably keep growing", "has likely stood there for a long time", "may sway when the wind rises"],
    "building": ["probably has people living inside", "may welcome its owners soon", "has likely stood there for years"],
}


def plain(text):
    """Removes the fact marks."""
    return text.replace(FACT, "").replace(END, "")


def fact(text):
    return FACT + text + END


def is_plural(obj):
    return obj["count"] > 1 or obj["kind"] in GROUPED


def noun(obj):
    """Bare noun: cat, cats, scissors."""
    return BY_NAME[obj["kind"]].plural if is_plural(obj) else obj["kind"]


def phrase(obj):
    """Noun phrase with article or number: a cat, two cats, a bunch of grapes."""
    name = GROUPED.get(obj["kind"])
    if obj["count"] > 1:
        many = name.replace("pair", "pairs").replace("bunch", "bunches") if name else BY_NAME[obj["kind"]].plural
        return fact(NUMBERS[obj["count"]] + " " + many)
    name = name or obj["kind"]
    return fact(("an " if name[0] in "aeiou" else "a ") + name)


def be(obj):
    return "are" if obj["count"] > 1 or obj["kind"] == "scissors" or obj["kind"] == "grapes" else "is"


def cap(text):
    """Capitalises the first letter, looking past a fact mark."""
    at = 1 if text.startswith(FACT) else 0
    return text[:at] + text[at].upper() + text[at + 1:]


def listed(parts):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def position(third, rng):
    forms = {"left": ["on the left", "on the left side", "in the left third of the frame"],
             "center": ["in the center", "in the center of the frame", "right in the center"][:2],
             "right": ["on the right", "on the right side", "in the right third of the frame"]}
    words = rng.choice(forms[third])
    return words.replace(third, fact(third))


def main_focus(scene, rng):
    main = scene["objects"][0]
    who, where, verb = phrase(main), position(main["third"], rng), "is" if main["count"] == 1 else "are"
    return cap(rng.choice([
        f"{who} {verb} the main subject, placed {where}.",
        f"{who} {verb} the largest thing in view, {where}.",
        f"{who} {verb} shown large {where}.",
        f"the eye goes first to {who} {where}.",
    ]))


def surroundings(scene, rng):
    others, back = [phrase(o) for o in scene["objects"][1:]], rng.choice(BACKDROP[scene["place"]])
    if not others:
        return rng.choice([f"No other object is nearby; the background shows {back}.", f"There are no other objects, only {back}."])
    number = "is" if others[0].startswith((FACT + "a ", FACT + "an ")) and len(others) == 1 else "are"
    return rng.choice([
        f"Nearby {number} {listed(others)}; the background shows {back}.",
        f"The scene also holds {listed(others)}, with {back} behind.",
        cap(f"{listed(others)} can be seen as well, together with {back}."),
    ])


def spatial(scene, rng):
    main, others = scene["objects"][0], scene["objects"][1:]
    it = "them" if main["count"] > 1 else "it"
    if not others:
        return rng.choice([f"The {noun(main)} {be(main)} alone, with open space all around.",
                           f"Nothing stands next to the {noun(main)}; the space around {it} is empty."])
    words = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below",
             "behind": "partly hidden behind"}
    parts = [f"the {fact(noun(o))} {be(o)} {fact(words[o['relation']])} " + (f"the {noun(main)}" if i == 0 else it)
             for i, o in enumerate(others)]
    return cap(listed(parts)) + "."


def activities(scene, rng):
    main, others = scene["objects"][0], scene["objects"][1:]
    group = BY_NAME[main["kind"]].group
    forms = ACTION[group]
    if group not in FLYING and scene["place"] == "underwater" and group not in ("sea", "wild"):
        forms = ["sinking slowly to the {surface}", "resting on the {surface}"]
    elif group == "sea" and scene["place"] == "beach":
        forms = ["resting on the sand", "lying on the beach"]
    action = rng.choice(forms).format(surface=SURFACE[scene["place"]])
    text = f"The {noun(main)} {be(main)} {action}"
    alive = [o for o in others if BY_NAME[o["kind"]].group in ANIMATE]
    food = [o for o in others if BY_NAME[o["kind"]].group == "food"]
    if group in ANIMATE and alive:
        text += rng.choice([f" and seems to notice the {noun(alive[0])}" if main["count"] == 1 else f" and seem to notice the {noun(alive[0])}",
                            f" near the {noun(alive[0])}"])
    elif group in ANIMATE and food:
        text += f", close to the {noun(food[0])}"
    elif alive:
        text += f" while the {noun(alive[0])} {be(alive[0])} close by"
    else:
        text += rng.choice([", and nothing else moves", " in a quiet moment"])
    return text + "."


def scene_type(scene, rng):
    place, when = fact(scene["place"]), rng.choice(TIME_PHRASE[scene["time"]])
    when = when.replace(scene["time"], fact(scene["time"]))
    if scene["place"] in INDOOR:
        return rng.choice([f"An indoor {place} scene {when}, as the light in the window shows.",
                           f"This is a {place} {when}, seen from inside."])
    if scene["place"] == "underwater":
        return rng.choice([f"An {place} scene {when}, judging by the light from above.", f"This is an {place} view {when}."])
    sky = rng.choice(SKY_PHRASE[scene["weather"]]).replace(scene["weather"], fact(scene["weather"]))
    if "fall" in sky:
        sky = fact(sky)
    return rng.choice([f"An outdoor {place} scene {when} under {sky}.", f"This is a {place} {when}, with {sky}.",
                       f"The setting is a {place} {when} under {sky}."])


def inferences(scene, rng):
    main = scene["objects"][0]
    group = BY_NAME[main["kind"]].group
    text = rng.choice(NEXT[group])
    if is_plural(main):
        for one, many in (("is probably", "are probably"), ("was probably", "were probably"), ("has likely", "have likely"),
                          ("probably has", "probably have"), ("its", "their")):
            text = re.sub(rf"\b{one}\b", many, text)
    tail = {"rainy": [", and the ground will soon be wet", " before the rain gets stronger"],
            "snowy": [", and more snow will cover the ground", " before the snow gets deeper"]}.get(scene["weather"])
    return f"The {noun(main)} {text}{rng.choice(tail) if tail else ''}."


def style(scene, rng):
    mood = rng.choice(MOOD[scene["time"], scene["weather"] in ("cloudy", "rainy", "snowy")])
    return rng.choice([f"The mood is {mood}, in a flat cartoon style.", f"A cartoon illustration, {mood}.",
                       f"The look is {mood}, like a picture book."])


WRITERS = [main_focus, surroundings, spatial, activities, scene_type, inferences, style]


def seven_point(scene, rng):
    """The structured caption, with fact marks."""
    return "\n".join(f"{i + 1}. {name} – {write(scene, rng)}" for i, (name, write) in enumerate(zip(SECTIONS, WRITERS)))


def short(scene, rng):
    """One or two plain sentences, with fact marks."""
    main, others = scene["objects"][0], scene["objects"][1:]
    place = {"underwater": f"in an {fact('underwater')} scene", "beach": f"on a {fact('beach')}", "city street": f"on a {fact('city street')}",
             "farm field": f"in a {fact('farm field')}", "snowy mountain": f"on a {fact('snowy mountain')}"}.get(
                 scene["place"], f"in a {fact(scene['place'])}")
    when = rng.choice(TIME_PHRASE[scene["time"]]).replace(scene["time"], fact(scene["time"]))
    text = cap(f"{phrase(main)} {position(main['third'], rng)}, {place} {when}.")
    return text + (f" Nearby {'is' if len(others) == 1 and others[0]['count'] == 1 else 'are'} {listed([phrase(o) for o in others])}." if others else "")


# Plain questions, by what answers them: each asks for the content of one section, none for its form.
QUESTIONS = {
    main_focus: ["What is the main object?", "What catches the eye first, and where is it?"],
    surroundings: ["What else is there?", "Which other objects are in the picture?"],
    spatial: ["Where are the objects?", "How are the objects placed?"],
    activities: ["What is happening?", "What is it doing?"],
    scene_type: ["Where and when is this?", "What are the place, the time of day and the weather?"],
    inferences: ["What may happen next?", "What happened before, or will happen soon?"],
    style: ["What is the mood?", "How does the picture look?"],
}


def detail(scene, rng):
    """Two to four plain sentences, the main object first, with fact marks."""
    others = rng.sample(WRITERS[1:], rng.randint(1, 3))
    return " ".join(write(scene, rng) for write in [main_focus] + sorted(others, key=WRITERS.index))


def plain_turns(scene, rng, count):
    """`count` different plain questions about a scene, each with its answer, with fact marks."""
    asked = [(questions, writer) for writer, questions in QUESTIONS.items()] + [(SHORT_PROMPTS, short), (DETAIL_PROMPTS, detail)]
    return [(rng.choice(questions), write(scene, rng)) for questions, write in rng.sample(asked, count)]


# ------------------------------------------------------------------------------------------------ prompts

def tag_block(tags):
    """[(label, third)] -> the tag block of a prompt, or nothing without tags."""
    return "".join([TAG_HEADER + "\n"] + [f"• {label} ({third})\n" for label, third in tags] + ["\n"]) if tags else ""


def true_tags(scene):
    """One tag per copy of every object, in the order of the graph."""
    return [(o["kind"], o["third"]) for o in scene["objects"] for _ in range(o["count"])]


def noisy_tags(scene, rng):
    """Tags as a weak detector would give them: some missing, some misplaced, some wrong."""
    tags = [t for t in true_tags(scene) if rng.random() < 0.8]
    tags = [(label, third if rng.random() < 0.93 else rng.choice(THIRDS)) for label, third in tags]
    tags = [(label if rng.random() < 0.9 else rng.choice(KINDS).name, third) for label, third in tags]
    while rng.random() < 0.2:
        tags.append((rng.choice(STRAY_TAGS + [k.name for k in KINDS]), rng.choice(THIRDS)))
    if rng.random() < 0.5:
        rng.shuffle(tags)
    return tags


def conversation(question):
    """Apple's qwen_2 template: (text before the image, text from the image to the answer)."""
    return ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
            f"\n{question}<|im_end|>\n<|im_start|>assistant\n")
