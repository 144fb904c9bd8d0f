"""What templates make of text, markup and blanks, and that all of them are shipped."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, StrictUndefined, UndefinedError
from markupsafe import Markup

from search.report.render import DropIndentation, Table, breakable, coded, environment

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "search" / "report" / "templates"


def made(source: str, **values: object) -> str:
    """Render another template in the environment of the pages."""
    own = environment().overlay(loader=DictLoader({"t": source}))
    return own.get_template("t").render(values)


@pytest.mark.parametrize(
    ("sentence", "markup"),
    [
        ("use `a<b` now", "use <code>a&lt;b</code> now"),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ("one ` alone <", "one ` alone &lt;"),
        ("none", "none"),
        ("", ""),
    ],
)
def test_names_between_back_quotes_become_code(sentence: str, markup: str) -> None:
    assert coded(sentence) == markup
    assert isinstance(coded(sentence), Markup)


def test_a_long_name_may_break_after_an_underscore() -> None:
    assert breakable("a_b<_c") == "a_<wbr>b&lt;_<wbr>c"
    assert isinstance(breakable("a_b"), Markup)


def test_text_is_escaped_where_it_enters_and_markup_is_not_escaped_twice() -> None:
    given = {"text": '1 < 2 & "3"', "markup": Markup("<b>&amp;</b>")}
    page = made('<p title="{{ text }}">{{ text }}{{ markup }}</p>', **given)
    escaped = "1 &lt; 2 &amp; &#34;3&#34;"
    assert page == f'<p title="{escaped}">{escaped}<b>&amp;</b></p>'


def test_a_value_that_is_not_there_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        made("<p>{{ nothing }}</p>")
    with pytest.raises(UndefinedError, match="has no attribute 'body'"):
        made("<p>{{ table.body }}</p>", table=Table(head=(), rows=()))


@pytest.mark.parametrize(
    ("source", "page"),
    [
        ("<ul>\n  <li>a</li>\n  <li>b</li>\n</ul>\n", "<ul><li>a</li><li>b</li></ul>"),
        ("<p>\n  two\n  lines\n</p>", "<p>two lines</p>"),
        ("<p>a <b>b</b> c</p>", "<p>a <b>b</b> c</p>"),
        ('<a\n  href="#x">x</a>', '<a href="#x">x</a>'),
        ("<p>\n  {{ x }} {{ x }}\n</p>", "<p>1\n 2 1\n 2</p>"),
        ("{% if x %}\n  <i></i>\n{% endif %}\n", "<i></i>"),
        ("<p>{{ x }}.\n  Next</p>", "<p>1\n 2. Next</p>"),
    ],
)
def test_indentation_stays_in_the_source_and_values_are_left_alone(source: str, page: str) -> None:
    assert made(source, x="1\n 2") == page


def test_an_error_in_a_template_names_its_line() -> None:
    plain = Environment(extensions=[DropIndentation], undefined=StrictUndefined)
    template = plain.from_string("<p>\n</p>\n\n<p>{{ 1 / zero }}</p>")
    with pytest.raises(ZeroDivisionError) as caught:
        template.render(zero=0)
    assert caught.traceback[-1].lineno + 1 == 4


def test_a_table_aligns_numbers_and_tells_cells_their_columns_for_narrow_screens() -> None:
    table = Table(head=("x", "y<"), rows=(("`1`", "<2>"),), numeric=frozenset({1}))
    source = '{% from "parts.html.jinja" import table %}{{ table(data) }}'
    page = environment().from_string(source).render(data=table)
    assert '<th scope="col">x</th><th scope="col" class="number">y&lt;</th>' in page
    assert '<th scope="row"><code>1</code></th>' in page
    assert '<td class="number" data-label="y&lt;">&lt;2&gt;</td>' in page


def test_no_template_declares_anything_safe() -> None:
    files = list(TEMPLATES.glob("*.jinja"))
    assert len(files) > 8
    for file in files:
        source = file.read_text()
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", source), file.name
        environment().parse(source)


def test_every_file_beside_the_templates_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["search.report"]
    files = [path for path in TEMPLATES.rglob("*") if path.is_file()]
    assert len(files) > 12
    for file in files:
        name = str(file.relative_to(TEMPLATES.parent))
        assert any(fnmatch(name, pattern) for pattern in patterns), name
        # No Python lies there, which setuptools would take for a package.
        assert file.suffix in (".jinja", ".css", ".js"), name
