"""Rendering of the Jinja2 templates in ``templates/`` as pages without external files.

Values given to a template are escaped as text unless they are `markupsafe.Markup`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from markupsafe import Markup, escape

from search.report.figures.drawing import DARK, LIGHT

STYLES_AND_SCRIPTS = ("figures.css", "figure.css", "page.css", "page.js")
_LINE_BREAK = re.compile(r"(^|>)?\s*\n\s*(<|$)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of text whose first column has the heads of the rows.

    Attributes:
        head: Names of the columns.
        rows: Cells by row; in the first cell, names between back quotes are shown as code.
        numeric: Indices of the columns of numbers, which are aligned to the right.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = field(default_factory=frozenset)


def render(template: str, **values: object) -> str:
    """Render a template with these values.

    Args:
        template: Name of a file in ``templates/``.
        values: Text, numbers and frozen dataclasses of them, by name.

    Raises:
        jinja2.UndefinedError: If the template asks for a value that is not given.
    """
    return environment().get_template(template).render(values) + "\n"


def coded(sentence: str) -> Markup:
    """Escape a sentence and turn names between back quotes into code elements."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if i % 2 else part for i, part in enumerate(parts))


def breakable(name: str) -> Markup:
    """Escape a name and allow a line break after each underscore."""
    return Markup("_<wbr>").join(name.split("_"))


class DropIndentation(Extension):
    """A Jinja2 extension that drops the line breaks and indentation of templates.

    A line break beside a tag vanishes with the blanks around it, any other becomes one space: the
    source is laid out for people, and no space gets between two elements unless it is written
    inside a line.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Rewrite the tokens of literal markup; values inserted later are left as they are."""
        for token in stream:
            if token.type == "data":
                yield Token(token.lineno, "data", _LINE_BREAK.sub(_joint, token.value))
            else:
                yield token


def _joint(found: re.Match[str]) -> str:
    before, after = found.groups()
    return " " if before is after is None else (before or "") + (after or "")


@cache
def environment() -> Environment:
    """Make the Jinja2 environment of all templates, once per process."""
    environment = Environment(
        loader=PackageLoader("search.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=[DropIndentation],
    )
    environment.filters |= {"coded": coded, "breakable": breakable}
    environment.globals |= {"light": LIGHT, "dark": DARK}
    for name in STYLES_AND_SCRIPTS:
        assert environment.loader is not None
        # Not by Jinja's include, which would read `{#trials{...}}` in a style sheet as a comment.
        source, _, _ = environment.loader.get_source(environment, name)
        environment.globals[name.replace(".", "_")] = Markup(source)
    return environment
