"""The words that questions on bookkeeping and their answers are put together from.

All of it was written for this project.
"""

from __future__ import annotations

FIRMS = (
    "Alder", "Ash", "Beech", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Holly", "Larch", "Lime",
    "Maple", "Oak", "Pine", "Poplar", "Rowan", "Spruce", "Walnut", "Willow", "Yew",
)  # fmt: skip
AMOUNTS = (
    "$100", "$120", "$150", "$180", "$200", "$250", "$300", "$350", "$400", "$450", "$500", "$600",
    "$700", "$750", "$800", "$900",
)  # fmt: skip

KINDS = {
    "asset": ("cash", "inventory", "equipment", "prepaid rent", "accounts receivable"),
    "liability": ("accounts payable", "a bank loan", "wages payable", "sales tax payable"),
    "income": ("sales", "interest earned", "service fees", "rent received"),
    "expense": ("wages", "rent", "insurance", "advertising", "repairs"),
}
SIDES = {"asset": "debit", "expense": "debit", "liability": "credit", "income": "credit"}
STATEMENTS = {
    "asset": "balance sheet",
    "liability": "balance sheet",
    "income": "income statement",
    "expense": "income statement",
}

COSTS = ("rent", "wages", "insurance", "advertising", "repairs", "interest")
WAYS = {"in cash": "cash", "on account": "accounts payable", "by bank": "bank"}
ENTRIES = (
    "What is the entry when {firm} pays {cost} of {amount} {way}?",
    "Which entry does {firm} make for {cost} of {amount} paid {way}?",
    "How is {cost} of {amount} recorded that {firm} pays {way}?",
)
SALES = (
    "What is the entry when {firm} sells goods for {amount} {way}?",
    "Which entry does {firm} make for goods of {amount} sold {way}?",
)
RECEIVED = {"for cash": "cash", "on credit": "accounts receivable", "by card": "bank"}

GROWS = (
    "On which side of its books does {firm} see {account} grow?",
    "Do the books of {firm} let {account} grow by a debit or a credit?",
)
SHOWN = (
    "In which report does {firm} show {account} this year?",
    "Which report of {firm} tells how {account} stood this year?",
)
RATES = {"10%": 10, "20%": 20}
TAXES = (
    "How much tax is due when {firm} sells goods for {amount} plus {rate} tax?",
    "How much is a tax of {rate} that {firm} adds to {amount}?",
)

BLANK_SIDES = "In the books of {firm} the account {account} grows on the ____ side."
BLANK_REPORTS = "The report in which {firm} shows {account} every year is the ______."
CHOSEN = (
    "{name}: what kind of account do the books of {firm} call {account} here?",
    "{name}: as what kind of account does {firm} class {account} here?",
)
TOPICS = ("Quiz", "Test", "Exam", "Drill")

OFF_TOPIC = (
    ("Refer to chapter {number} of the book and answer exercise {other}.", "See the book."),
    ("What does the syllabus say about week {number}?", "See the syllabus."),
    ("How long do I boil {number} eggs in a pot of salted water?", "About {other} minutes."),
    ("Which bird sings {number} notes at dawn in the oak wood?", "The blackbird."),
)
"""What does not belong here; the first two hold a word that gives them away."""
