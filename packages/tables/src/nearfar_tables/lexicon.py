"""Words that stand for each other, and keys that lie beside each other."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["KEYBOARD", "synonyms"]

_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")

# A key's neighbours on a QWERTY keyboard; each row stands half a key to the right of the one above.
KEYBOARD: dict[str, str] = {}
for _r, _row in enumerate(_ROWS):
    for _c, _key in enumerate(_row):
        _near = [(_r, _c - 1), (_r, _c + 1), (_r - 1, _c), (_r - 1, _c + 1),
                 (_r + 1, _c - 1), (_r + 1, _c)]  # fmt: skip
        KEYBOARD[_key] = "".join(
            _ROWS[r][c] for r, c in _near if 0 <= r < len(_ROWS) and 0 <= c < len(_ROWS[r])
        )

_GROUPS = """
street st|avenue ave av|boulevard blvd|road rd|drive dr|lane ln|place pl|square sq|highway hwy
north n|south s|east e|west w|saint st|mount mt|fort ft|building bldg|floor fl|suite ste
apartment apt|company co|corporation corp|incorporated inc|limited ltd|brothers bros|and &|number no
department dept|university univ|institute inst|international intl|national natl
association assn|society soc|proceedings proc|journal j|conference conf|transactions trans
volume vol|edition ed|record rec
january jan|february feb|march mar|april apr|june jun|july jul|august aug|september sept sep
october oct|november nov|december dec|monday mon|tuesday tue|wednesday wed|thursday thu|friday fri
doctor dr|professor prof|mister mr|junior jr|senior sr|restaurant rest|cafe coffeehouse|grill bbq
brewing brewery brewers|american us|large lg|small sm|black blk|white wht|silver slv|pack pk
inch in|foot feet|pound lb|ounce oz|kilogram kg|gigabyte gb|megabyte mb|hour hr|minute min
software sw|version ver v|professional pro|standard std|deluxe dlx|windows win|macintosh mac
featuring feat ft|remix mix|album record|song track
"""


def synonyms(own: Mapping[str, list[str]] | None = None) -> dict[str, list[str]]:
    """Word -> words that may stand for it: abbreviations, months, units, trades.

    Args:
        own: a user's, added; of a word in both, the user's come first.
    """
    table: dict[str, list[str]] = {word: list(others) for word, others in (own or {}).items()}
    for group in _GROUPS.replace("\n", "|").split("|"):
        words = group.split()
        for word in words:
            known = table.setdefault(word, [])
            known.extend(w for w in words if w not in (*known, word))
    return {word: others for word, others in table.items() if others}
