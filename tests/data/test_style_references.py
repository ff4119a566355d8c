"""Style references are found in English and German, and ordinary talk of style is left alone."""

import csv

import pytest

from stillhouse.data.style_references import find_style_references, has_style_reference


@pytest.mark.parametrize(
    "text",
    [
        "A raccoon. Oil painting in the style of Madhubani art.",
        "a tornado, in the\nunmistakable style of Hokusai",
        "a portrait in pop art style",
        "a street in Van Gogh's style",
        "a Ghibli-style meadow",
        "Use the writing style of the Suttapitaka",
        "a sonnet in the manner of Donne",
        "a letter, in the vein of Kafka",
        "a Kafkaesque office",
        "a map inspired by the Harry Potter universe",
        "a mural inspired by the works of an old master",
        "crisp details, reminiscent of vintage noir films",
        "fish à la Turner",
        "a chair styled after the Bauhaus",
        "imitate the style",
        "concept art by Greg Rutkowski",
        "ein Haus im Stil von Gaudí",
        "ein Haus im Stile des Bauhauses",
        "eine Stadt im Jugendstil",
        "eine Stadt im Comic-Stil",
        "ein Platz im japanischen Stil",
        "ein Lied nach Art der Flippers",
        "ein Bild in der Manier von Dürer",
        "inspiriert von Picasso",
        "inspiriert von der Malerei der Romantik",
        "angelehnt an Klimt",
        "eine kafkaeske Amtsstube",
    ],
)
def test_a_style_reference_is_found(text):
    (found,) = find_style_references(text)
    assert text[found.start :].startswith(found.found)
    assert has_style_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The Great Hypostyle Hall of Karnak. detailed charcoal sketch.",
        "Write in a clear, formal style.",
        "Specify the style of enhancement",
        "She dressed in style; a healthy life-style, a buffet-style breakfast.",
        "a picturesque village with a grotesque and a burlesque show",
        "inspired by nature and by long walks",
        "a desk, and a risk; Autodesk and its helpdesk",
        "la la land, a la carte",
        "a book by two authors, a painting by the window",
        "Der Lebensstil und der Schreibstil im Alltag; guter Stil",
        "ein grotesker Tanz, ein burleskes Stück",
        "inspiriert von der Natur",
        "日本の絵",
    ],
)
def test_ordinary_talk_of_style_is_left_alone(text):
    assert find_style_references(text) == []
    assert not has_style_reference(text)


def test_several_references_of_one_text_are_told_in_order_each_once():
    text = "In the style of Hokusai, a Kafkaesque pier inspired by the Bauhaus."
    assert [one.phrase for one in find_style_references(text)] == [
        "in the style of",
        "-esque",
        "inspired by",
    ]


def test_real_image_prompts_are_judged_as_a_reader_would(shared_file):
    # given the prompts that have the letters "style" in them
    with shared_file("prompts/partiprompts_even.tsv").open(encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        prompts = [row["Prompt"] for row in rows]
    # when
    found = {text for text in prompts if has_style_reference(text)}
    # then: all but the Great Hypostyle Hall
    with_the_letters = {text for text in prompts if "style" in text.lower()}
    assert len(with_the_letters - found) == 1
    assert found >= with_the_letters - {
        "The Great Hypostyle Hall of Karnak. detailed charcoal sketch."
    }
