"""Tables of pages on a phone."""

import re

from datasets.webpage import STYLE, Html, table


def test_a_table_with_a_sentence_becomes_cards_that_name_each_value() -> None:
    wide = table(("reason", "clips", "meaning", "example"), [("dark", 3, "x" * 40, "a<b")])
    assert '<table class="stacked">' in wide
    labels = re.findall(r'data-label="(\w+)"', wide)
    assert labels == ["reason", "clips", "meaning", "example"]
    assert "<div>a&lt;b</div>" in wide
    assert ".stacked td::before{content:attr(data-label)" in STYLE


def test_short_and_sortable_tables_stay_tables() -> None:
    bar = Html('<div style="background:#123456;width:50%"></div>')  # tags are no text
    for shown in (
        table(("a", "b", "c", "d"), [(1, 2, 3, bar)]),
        table(("a", "b", "c"), [("x" * 40, 1, 2)]),
        table(("a", "b", "c", "d"), [("x" * 40, 1, 2, 3)], is_sortable=True),
    ):
        assert "stacked" not in shown
        assert "data-label" not in shown
