"""The words that the prompts and answers of six specialists are put together from.

All of it was written for this project.
"""

from __future__ import annotations

PEOPLE = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Ida")
THINGS = ("kettle", "lamp", "bike", "desk", "radio", "fan", "clock", "chair")

GAINS = ("finds", "buys", "gets")
LOSSES = ("loses", "sells", "gives away")

PLANS = {
    "clean": ("empty", "scrub", "rinse"),
    "repair": ("open", "mend", "close"),
    "sell": ("photograph", "price", "offer"),
    "ship": ("wrap", "label", "post"),
    "paint": ("sand", "prime", "coat"),
}
ASKS = ("How do I {goal} the {thing}?", "Plan: {goal} the {thing}", "I must {goal} my {thing}")

CITIES = ("Oslo", "Lima", "Rome", "Cairo", "Perth", "Quito")
DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
TOOLS = {
    "weather": ("Will it rain in {city}?", "How warm is {city} now?", "Is it windy in {city}?"),
    "calendar": ("Am I free on {day}?", "What is planned for {day}?", "Keep {day} free for me"),
    "mail": ("Write to {person} that I am late", "Tell {person} yes", "Thank {person} for me"),
    "search": ("Who makes the best {thing}?", "Find a {thing} near me", "Which {thing} is cheap?"),
}
"""A request fills one place; what fills it is what the tool is called with."""

SLIPS = {
    "did not test": "test",
    "did not measure": "measure",
    "forgot to label": "label",
    "forgot to lock": "lock",
    "guessed the size of": "measure",
    "was too late to order": "order",
}
OUTCOMES = ("it failed", "it broke", "it had to be done twice", "it cost more")

FAULTS = {
    "KeyError: '{word}'": "the key {word} is missing",
    "NameError: {word}": "{word} was never defined",
    "TypeError: {word} is None": "{word} has no value",
    "FileNotFoundError: {word}.csv": "the file {word}.csv is not there",
    "IndexError: {word}[9]": "{word} is too short",
}
WORDS = ("age", "price", "name", "total", "user", "date", "city", "score")
PLACES = ("in load()", "in main()", "in save()", "at line 12", "at line 40")

NOTES = {
    "high": ("{person} is allergic to nuts", "{person} must take a pill at noon",
             "{person} has no key to the house"),
    "middle": ("{person} has a birthday in May", "{person} likes to be called early",
               "{person} works on {day}"),
    "low": ("{person} saw a film", "{person} had soup today", "{person} said hello"),
}  # fmt: skip
KEPT = {"high": "always", "middle": "a year", "low": "a day"}
