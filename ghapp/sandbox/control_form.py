"""The parameters of a request at the control door."""

import json
import re
from collections.abc import Mapping
from typing import Any


class Wrong(ValueError):
    """A parameter is missing or makes no sense."""


class Form:
    """The parameters of one request."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if value is None or value == "":
            raise Wrong(f"{name} is missing")
        return value if isinstance(value, str) else json.dumps(value)

    def number(self, name: str, default: int | None = None) -> int:
        text = self.text(name, None if default is None else str(default))
        if not re.fullmatch(r"-?\d+", text):
            raise Wrong(f"{name} must be a whole number, not {text!r}")
        return int(text)

    def names(self, name: str) -> list[str]:
        value = self.values.get(name)
        listed = value if isinstance(value, list) else self.text(name).split(",")
        return [str(item).strip() for item in listed]
