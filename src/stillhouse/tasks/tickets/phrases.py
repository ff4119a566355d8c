"""The phrases that messages are put together from; each phrase tells exactly one value.

All of it was written for this project. `{p}` is the product's place.
"""

from __future__ import annotations

GREETINGS = ("hi", "hello", "hey", "hi team", "good morning", "dear support", "", "", "")

PRODUCTS = {
    "kettle": ("kettle", "boiler", "teapot", "water heater"),
    "blender": ("blender", "mixer", "juicer", "smoothie maker"),
    "lamp": ("lamp", "lantern", "desk light", "night light"),
    "fan": ("fan", "ventilator", "air cooler", "blower"),
    "vacuum": ("vacuum", "hoover", "dust sucker", "floor cleaner"),
}

INTENTS = {
    "refund": (
        "refund my {p}",
        "i want money back for the {p}",
        "take back the {p}",
        "i return the {p} to you",
        "pay me back for the {p}",
    ),
    "repair": (
        "the {p} is broken",
        "my {p} will not switch on",
        "a part fell off the {p}",
        "please fix my {p}",
        "the {p} stops after a minute",
    ),
    "delivery": (
        "where is the {p} i ordered",
        "my {p} has not come yet",
        "when do you ship the {p}",
        "the courier lost my {p}",
        "track my {p} parcel",
    ),
    "question": (
        "how do i clean the {p}",
        "how do i use the {p}",
        "is there a guide for the {p}",
        "which plug fits the {p}",
        "what can the {p} do",
    ),
    "praise": (
        "i love my {p}",
        "the {p} works like a dream",
        "so happy with the {p}",
        "five stars for the {p}",
        "what a great {p}",
    ),
}

URGENCIES = {
    "high": ("today please", "at once", "very urgent", "answer me now"),
    "normal": ("", "", "this week", "soon"),
    "low": ("no hurry", "any time", "it can wait", "some day"),
}

MOODS = {
    "angry": ("i am angry", "what a mess", "this is awful", "shame on you"),
    "calm": ("", "", "kind regards", "thank you"),
    "happy": ("nice day", "many smiles", "all the best", "big hugs"),
}

VALUES = {
    "intent": tuple(INTENTS),
    "product": tuple(PRODUCTS),
    "urgency": tuple(URGENCIES),
    "mood": tuple(MOODS),
}
"""Every value of every field of an annotation, in the order they are written."""
