"""CSV that a spreadsheet opens without running what a stranger wrote into a name."""

from __future__ import annotations

__all__ = ["harmless"]


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe is put before what it would.

    OWASP, "CSV injection". Numbers stay as they are.

    Example:
        >>> harmless("=HYPERLINK(A1)"), harmless("-1.5"), harmless("anna")
        ("'=HYPERLINK(A1)", '-1.5', 'anna')
    """
    begins = text[:1]
    if begins in ("=", "@", "\t", "\r") or (begins in ("+", "-") and not _is_number(text)):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
