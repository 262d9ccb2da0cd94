"""Conflicts decided by example (ICLCR): demonstrations from the same table, and who judges them.

A :class:`Question` holds what is known of a thing, the candidates and the demonstrations; a judge
answers with one of the candidates or abstains.
"""

from __future__ import annotations

from nearfar_kit.lazy import found_when_asked

_HOMES = {
    "Answer": "question",
    "Example": "question",
    "Judge": "question",
    "LocalJudge": "local",
    "NeighbourJudge": "neighbours",
    "Question": "question",
    "ServerJudge": "server",
    "decide": "decision",
    "estimate": "question",
    "questions_of": "demonstrations",
    "relevance": "information",
}
__all__ = list(_HOMES)
__getattr__ = found_when_asked(__name__, _HOMES)
