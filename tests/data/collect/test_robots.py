"""robots.txt is read as RFC 9309 says."""

import time

import pytest

from stillhouse.data.collect.robots import Robots, read_robots

EXAMPLE = b"""
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: Stillhouse/2.0
Disallow: /example/page.html

User-Agent: quxbot
"""


def rules(text, product="Stillhouse"):
    return read_robots(text if isinstance(text, bytes) else text.encode(), product)


@pytest.mark.parametrize(
    ("product", "path", "allowed"),
    [
        ("other", "/publications/a", True),
        ("other", "/example/page.html", False),
        ("other", "/a/picture.gif", False),
        ("other", "/a/picture.gif?x", True),
        ("foobot", "/example/page.html", True),
        ("foobot", "/example/allowed.gif", True),
        ("foobot", "/", False),
        ("FooBot", "/", False),
        ("barbot", "/example/page.html", False),
        ("stillhouse", "/example/page.html", False),
        ("stillhouse", "/example/other", True),
        ("quxbot", "/example/other", True),
    ],
)
def test_the_example_of_the_standard(product, path, allowed):
    assert rules(EXAMPLE, product).allows(path) is allowed


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("", "/a", True),
        ("Disallow: /", "/a", True),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /a/b\nAllow: /a", "/a/b/c", False),
        ("User-agent: *\nDisallow:", "/a", True),
        ("\ufeffUser-agent: *\rDisallow: /a # why\r", "/a", False),
        ("user-AGENT :*\n disallow : /A", "/A", False),
        ("User-agent: *\nDisallow: /a<d.html", "/a%3Cd.html", False),
        ("User-agent: *\nDisallow: /a%2fb", "/a/b", True),
        ("User-agent: *\nDisallow: /a%2Fb", "/a%2fb", False),
        ("User-agent: *\nDisallow: /ö", "/%C3%B6", False),
        ("User-agent: *\nDisallow: /%7Eme", "/~me", False),
        ("User-agent: *\nDisallow: /a*c*e$", "/abcde", False),
        ("User-agent: *\nDisallow: /a*c*e$", "/abcdef", True),
        ("User-agent: *\nDisallow: /*?q=", "/search?q=x", False),
        ("User-agent: *\nDisallow: /\nUser-agent: Stillhouse\nAllow: /", "/a", True),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("User-agent: *\nDisallow: /" + "a" * 5000, "/b", False),
    ],
)
def test_rules_and_paths(text, path, allowed):
    assert rules(text).allows(path) is allowed


@pytest.mark.parametrize(
    ("value", "seconds"), [("10", 10), ("0.5", 0.5), ("-1", 0), ("soon", 0), ("99999999", 3600)]
)
def test_a_crawl_delay_is_a_number_of_seconds(value, seconds):
    assert rules(f"User-agent: *\nCrawl-delay: {value}").delay_s == seconds


def test_patterns_that_slow_others_down_take_no_time():
    started = time.process_time()
    robots = Robots(tuple(("/" + "a*" * 900 + "b$", False) for _ in range(20)))
    assert robots.allows("/" + "a" * 5000)
    assert time.process_time() - started < 1.0
