"""YAML text → a tree that knows the path and line of everything in it. Pure; nothing in it can run or blow up.

JSON is read too. Merge keys (``<<``) and aliases are resolved; no tag makes an object.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from ghapp.core.config import Problem

#: A config of a thousand apps has about 200,000 characters.
MAX_CHARACTERS = 256 * 1024
#: The same with every alias written out.
MAX_WRITTEN_OUT = 1_000_000
MAX_DEPTH = 20

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
# What YAML 1.1 makes of an unquoted scalar: https://yaml.org/type/
_KINDS = {
    _TAG + "str": "text",
    _TAG + "value": "text",
    _MERGE: "text",
    _TAG + "int": "a whole number",
    _TAG + "float": "a number",
    _TAG + "bool": "a boolean",
    _TAG + "null": "nothing",
    _TAG + "timestamp": "a date",
}
_TAGS = {*_KINDS, _TAG + "map", _TAG + "seq"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """``text`` as it is written; ``kind`` is what YAML takes it for."""

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    path: str
    line: int
    items: "tuple[Node, ...]"
    kind: str = "a list"


@dataclass(frozen=True, slots=True)
class Table:
    path: str
    line: int
    items: "dict[str, Node]"
    kind: str = "a mapping"


Node = Scalar | Listing | Table


@dataclass(slots=True)
class Findings:
    """Collects all that is wrong with a text, or doubtful, each with its place."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def wrong(self, node: Node, message: str) -> None:
        self.problems.append(Problem(node.path, node.line, message))

    def doubtful(self, node: Node, message: str) -> None:
        self.warnings.append(Problem(node.path, node.line, message))


class _Loader(yaml.SafeLoader):
    """SafeLoader whose recursion is bounded: PyYAML's composer calls itself for each level."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_deep(parent.start_mark if parent else None)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read(text: str, findings: Findings) -> Node | None:
    """The tree of the text's one document; None where it is empty, or where a finding says what is wrong."""
    if len(text) > MAX_CHARACTERS:
        findings.problems.append(Problem("", 1, f"longer than {MAX_CHARACTERS:,} characters; split it up"))
        return None
    try:
        root = _compose(_json_without_tabs(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        findings.problems.append(Problem("", line, f"not YAML: {_explained(error)}"))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        findings.problems.append(Problem("", line, "holds a control character; YAML allows none"))
        return None
    return _Converter(findings).convert(root, "", 1) if root else None


def _json_without_tabs(text: str) -> str:
    """JSON may be indented with tabs, YAML may not. In braces the kind of indentation means nothing."""
    return re.sub(r"(?m)^[ \t]+", " ", text) if text.lstrip("\ufeff \t\r\n").startswith("{") else text


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root:
            _measure(root, {})
        return root
    except (ValueError, OverflowError) as error:  # PyYAML on "\UFFFFFFFF" and %YAML 1.<5000 digits>
        raise yaml.MarkedYAMLError(problem="a number out of range", problem_mark=loader.get_mark()) from error
    finally:
        loader.dispose()


def _measure(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Size and levels with every alias written out. Raises where they are too large, or infinite."""
    if id(node) in known:
        if known[id(node)] == (0, 0):
            raise yaml.MarkedYAMLError(problem="an alias within what it stands for", problem_mark=node.start_mark)
        return known[id(node)]
    known[id(node)] = (0, 0)
    parts = [_measure(child, known) for child in _children(node)]
    own = len(node.value) if isinstance(node, yaml.ScalarNode) else 0
    size, levels = 1 + own + sum(part for part, _ in parts), 1 + max((depth for _, depth in parts), default=0)
    if size > MAX_WRITTEN_OUT:
        problem = f"longer than {MAX_WRITTEN_OUT:,} characters with all aliases written out"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    if levels > MAX_DEPTH:
        raise _too_deep(node.start_mark)
    known[id(node)] = (size, levels)
    return size, levels


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from (key, value)
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _too_deep(mark: yaml.Mark | None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=mark)


def _explained(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)[:300]
    if "cannot start any token" in said:
        return f"{said}; quote the text, and indent with spaces"
    if "mapping values are not allowed here" in said:
        return f"{said}; quote text that contains “: ”, and check the indentation"
    if "single document" in said:
        return "a second document begins here (---); a config is one document"
    return said


@dataclass(frozen=True, slots=True)
class _Converter:
    findings: Findings

    def convert(self, node: yaml.Node, path: str, line: int) -> Node:
        if node.tag not in _TAGS:
            self.findings.problems.append(Problem(path, line, "has a tag (!…), which means nothing here; leave it out"))
        if isinstance(node, yaml.MappingNode):
            return Table(path, line, {key: value for key, _, value in self._pairs(node, path, line)})
        if isinstance(node, yaml.SequenceNode):
            items = (
                self.convert(item, f"{path}[{index}]", item.start_mark.line + 1)
                for index, item in enumerate(node.value)
            )
            return Listing(path, line, tuple(items))
        return self._scalar(node, path, line)

    def _scalar(self, node: yaml.Node, path: str, line: int) -> Scalar:
        try:  # JSON writes what lies beyond U+FFFF as two surrogates
            text = str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            text = "\0"
        scalar = Scalar(path, line, _KINDS.get(node.tag, "text"), text)
        if "\0" in text:
            self.findings.wrong(scalar, "contains NUL or half a character; leave it out")
        return scalar

    def _pairs(self, node: yaml.MappingNode, path: str, line: int) -> Iterator[tuple[str, int, Node]]:
        """Key, line and value of each pair, merged ones first so that the mapping's own win."""
        own: dict[str, tuple[int, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _MERGE:
                merged.append(value)
            elif (name := self._key(key, path)) is not None:
                self._add(own, name, key.start_mark.line + 1, value, path)
        for source in merged:
            yield from self._merged(source, path, line)
        for name, (key_line, value) in own.items():
            yield name, key_line, self.convert(value, join(path, name), key_line)

    def _add(self, own: dict[str, tuple[int, yaml.Node]], name: str, line: int, value: yaml.Node, path: str) -> None:
        if name in own:
            message = f"stands here twice (first on line {own[name][0]}); leave one"
            self.findings.problems.append(Problem(join(path, name), line, message))
        else:
            own[name] = (line, value)

    def _merged(self, source: yaml.Node, path: str, line: int) -> Iterator[tuple[str, int, Node]]:
        """``<<: *a`` or ``<<: [*a, *b]``, of which the first wins (https://yaml.org/type/merge.html)."""
        sources = reversed(source.value) if isinstance(source, yaml.SequenceNode) else [source]
        for each in sources:
            if isinstance(each, yaml.MappingNode):
                yield from self._pairs(each, path, line)
            else:
                message = "<< must name a mapping (*anchor) or a list of them"
                self.findings.problems.append(Problem(path, each.start_mark.line + 1, message))

    def _key(self, key: yaml.Node, path: str) -> str | None:
        scalar = self._scalar(key, path, key.start_mark.line + 1) if isinstance(key, yaml.ScalarNode) else None
        if scalar is None:
            place = Problem(path, key.start_mark.line + 1, "a key must be text, not a list or a mapping")
            self.findings.problems.append(place)
        elif scalar.kind != "text":
            shown = segment(scalar.text)
            message = f'YAML reads the key {shown} as {scalar.kind}; quote it: "{shown}"'
            self.findings.problems.append(Problem(join(path, shown), scalar.line, message))
        return scalar.text if scalar else None


def segment(key: str) -> str:
    """A key as it may stand in a path or a sentence, whatever it consists of."""
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in key)
    return printable if len(printable) <= 80 else f"{printable[:80]}…"


def join(path: str, key: str) -> str:
    return f"{path}.{segment(key)}" if path else segment(key)
