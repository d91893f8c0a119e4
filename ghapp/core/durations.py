"""How long, as people write it in a request: ``30s``, ``10m``, ``2h``, ``90d``, ``4w``."""

import re

_FORM = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def seconds(text: str) -> int | None:
    """The seconds it stands for; None for what is no duration, or none longer than nothing."""
    found = _FORM.fullmatch(text)
    return (int(found[1]) * _SECONDS[found[2]] or None) if found else None
