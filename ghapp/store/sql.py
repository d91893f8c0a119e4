"""SQL text: from the one flavour that is written (see `base`) to what each database takes. Pure.

Literals, quoted names and comments are never touched. A parameter's name begins with a letter or `_`, so that
`:1` and `a[1:2]` are none. Dollar-quoted strings are not understood: SQLite has none.
"""

import re
import sqlite3
from collections.abc import Iterator
from functools import lru_cache

_CACHE = 1024

# In this order: what is opaque, then what holds a colon, then the parameter itself.
_TOKEN = re.compile(
    r"""
      (?P<opaque> '(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ )
    | (?P<cast>   :: \s* [a-z_]\w* (?:\[\])? )
    | (?P<any>    = \s* ANY \s* \( \s* : (?P<any_name> [a-z_]\w* ) \s* \) )
    | (?P<none>   <> \s* ALL \s* \( \s* : (?P<none_name> [a-z_]\w* ) \s* \) )
    | (?P<lock>   \s+ FOR \s+ (?: NO \s+ KEY \s+ )? UPDATE \b
                  (?: \s+ OF \s+ \w+ (?: \s*,\s* \w+ )* )? (?: \s+ (?: SKIP \s+ LOCKED | NOWAIT ) )? )
    | : (?P<name> [a-z_]\w* )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@lru_cache(_CACHE)
def to_postgres(sql: str) -> tuple[str, tuple[str, ...]]:
    """The SQL with `$1`, `$2` …, and the parameters' names in that order; a name used twice is one parameter."""
    names: list[str] = []

    def replace(token: re.Match[str]) -> str:
        name = token["name"] or token["any_name"] or token["none_name"]
        if name is None:
            return token[0]
        if name not in names:
            names.append(name)
        return token[0].replace(f":{name}", f"${names.index(name) + 1}")

    return _TOKEN.sub(replace, sql), tuple(names)


@lru_cache(_CACHE)
def to_sqlite(sql: str) -> str:
    """The SQL without casts and row locks; a list is looked up as the JSON array it is bound as.

    https://www.sqlite.org/json1.html#jeach
    """

    def replace(token: re.Match[str]) -> str:
        if token["cast"] or token["lock"]:
            return ""
        if name := token["any_name"] or token["none_name"]:
            operator = "IN" if token["any"] else "NOT IN"
            return f"{operator} (SELECT value FROM json_each(:{name}))"
        return token[0]

    return _TOKEN.sub(replace, sql)


def statements(script: str) -> Iterator[str]:
    """The script's statements one by one; a `;` in a literal, a comment or a trigger's body ends none.

    https://www.sqlite.org/c3ref/complete.html
    """
    statement = ""
    for piece in re.split(r"(?<=;)", script):
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if _has_code(statement):
        yield statement.strip()


def _has_code(text: str) -> bool:
    without_comments = _TOKEN.sub(lambda token: "" if token[0].startswith(("--", "/*")) else token[0], text)
    return bool(without_comments.strip())
