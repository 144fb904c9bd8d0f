"""Pages from the Jinja2 templates in ``templates/``, as one file that asks for nothing else.

Whatever a template is given is text, which is escaped, unless it is `markupsafe.Markup`.
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
    """A table whose first column heads its rows.

    Attributes:
        head: Names of the columns.
        rows: Cells; of the first one, names between back quotes are code.
        numeric: Columns of numbers, which are aligned to the right.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = field(default_factory=frozenset)


def render(template: str, **values: object) -> str:
    """The page or part that a template makes of these values.

    Args:
        template: A file of ``templates/``.
        values: Text, numbers and frozen dataclasses of them.

    Raises:
        jinja2.UndefinedError: If the template asks for a value that is not given.
    """
    return environment().get_template(template).render(values) + "\n"


def coded(sentence: str) -> Markup:
    """A sentence in which ```names``` between back quotes become code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return escape(sentence)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if i % 2 else part for i, part in enumerate(parts))


def breakable(name: str) -> Markup:
    """A name that may break after an underscore, where a person would break it."""
    return Markup("_<wbr>").join(name.split("_"))


class DropIndentation(Extension):
    """Line breaks and indentation of a template stay in its source.

    A line break beside a tag vanishes with the blanks around it, any other becomes one space: the
    source is laid out for people, and no space gets between two elements unless it is written
    inside a line.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """Rewrite the tokens that are markup; what values hold is not among them."""
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
    """Where templates are read and how; made once."""
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
