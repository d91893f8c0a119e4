"""What other people's services ask for when they have had enough."""

import pytest

from ghapp.core.remote import retry_after_s

NOW = 1_795_700_000.0  # Thu, 26 Nov 2026 13:33:20 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("Fri, 99 Nov 2026 13:33:20 GMT", None),
        ("Thu, 26 Nov 99999999999 13:33:20 GMT", None),
        ("0", 0),
        ("7", 7),
        ("9" * 400, float("inf")),
        ("Thu, 26 Nov 2026 13:34:50 GMT", 90),
        ("Thursday, 26-Nov-26 13:34:50 GMT", 90),
        ("Thu Nov 26 13:34:50 2026", 90),
        ("Thu, 26 Nov 2026 13:33:20 GMT", 0),
        ("Wed, 25 Nov 2026 13:33:20 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """RFC 9110: 10.2.3, and 5.6.7 for the three forms of a date."""
    assert retry_after_s(value, NOW, None) == seconds
