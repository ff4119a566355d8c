"""What a model card is told in tests."""

from stillhouse.export.model_card import CardFacts

FACTS = CardFacts(
    name="tiny-songs",
    recipe="songs",
    teacher="org/teacher",
    base="org/base",
    metrics={"exact match": "0.91 (0.89 to 0.93)", "a|b": "1"},
    licences={"teacher weights": "apache-2.0"},
)
