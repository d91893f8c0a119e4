"""Times as people type and read them. RFC 3339 is what the API takes and gives."""

from datetime import UTC, datetime, time, timedelta

from ghapp.core.sentences import duration


def at(text: str) -> datetime:
    """Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def milliseconds(text: str) -> int:
    return int(at(text).timestamp() * 1000)


def seconds_since(text: str, now: datetime) -> float:
    return max((now - at(text)).total_seconds(), 0.0)


def ago(text: str | None, now: datetime) -> str:
    """``3 min ago``; nothing where there is no time."""
    return f"{duration(seconds_since(text, now))} ago" if text else ""


def between(start: str, end: str) -> float:
    """Seconds."""
    return (at(end) - at(start)).total_seconds()


def soon(text: str, now: datetime) -> str:
    """``in about 4 min``; what should have been already is ``soon``."""
    seconds = (at(text) - now).total_seconds()
    return f"in about {duration(seconds)}" if seconds >= 1 else "soon"


def stopwatch(seconds: float) -> str:
    """``0:07``, ``12:40``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def until(text: str, now: datetime) -> str:
    """What was typed as the end of a lock, in RFC 3339: ``18:00`` is the next one; without an offset it is local time.

    ``now`` is local time without offset. Raises ValueError.
    """
    if "-" in text:
        then = datetime.fromisoformat(text)
    else:
        clock = time.fromisoformat(text)
        then = datetime.combine(now.date(), clock)
        then += timedelta(days=then <= now)
    return then.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
