"""A judge behind any server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, ...

Rows leave the machine here: nothing is sent that ``redact`` has not seen.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from nearfar_kit.errors import UserError
from nearfar_tables.conflicts.question import Answer, Question, candidate_of, tokens_of

__all__ = ["ServerJudge"]

PASSING = frozenset((408, 409, 425, 429, 500, 502, 503, 504))  # worth trying again
LARGEST = 2**24  # bytes of an answer
TABLE = "create table answers (key primary key, text)"
SYSTEM = "Answer with one of the candidates, exactly as it is written, and nothing else."


@dataclass
class ServerJudge:
    """Asks a server, several questions at once; an answer is a candidate or an abstention.

    Args:
        base_url: up to and with ``/v1``. model: as the server calls it.
        api_key: sent as a bearer token. timeout: seconds for one question.
        retries: of a question whose server is busy or failing, with growing pauses.
        parallel: questions under way at once.
        cache: SQLite file of answers by prompt; asked once, a question costs nothing again.
        budget: tokens, by four characters each; when they are used up the rest abstain.
        redact: what a prompt is made before it leaves the machine.

    Raises:
        UserError: when asked: the server cannot be reached, or refuses the key or the request.
    """

    base_url: str
    model: str
    api_key: str | None = None
    timeout: float = 30.0
    retries: int = 3
    parallel: int = 4
    cache: Path | None = None
    budget: int | None = None
    redact: Callable[[str], str] | None = None
    pause: float = 0.5  # seconds before the first try again
    name: str = "server"
    spent: int = field(default=0, init=False)  # tokens

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        with (
            _Cache(self.cache) as cache,
            httpx2.Client(headers=headers, timeout=self.timeout) as client,
            ThreadPoolExecutor(self.parallel) as pool,
        ):
            asked = [pool.submit(self._answer, question, client, cache) for question in questions]
            try:
                return [future.result() for future in asked]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _answer(self, question: Question, client: httpx2.Client, cache: _Cache) -> Answer:
        prompt = question.prompt()
        if self.redact is not None:
            prompt = self.redact(prompt)
        key = hashlib.sha256(f"{self.base_url}\n{self.model}\n{prompt}".encode()).hexdigest()
        text = cache.get(key)
        if text is None:
            longest = max(len(value) for value in question.candidates)
            most = tokens_of(longest) + 16
            if not self._may_spend(tokens_of(len(prompt) + len(SYSTEM)) + most):
                return Answer(None, why="the budget is used up")
            text = self._ask(prompt, most, client)
            if text is None:
                return Answer(None, why="the server did not answer")
            cache.put(key, text)
        number = candidate_of(text, question.candidates)
        return Answer(None, why="no candidate") if number is None else Answer(number, 1.0)

    def _may_spend(self, tokens: int) -> bool:
        with self._lock:
            if self.budget is not None and self.spent + tokens > self.budget:
                return False
            self.spent += tokens
            return True

    def _ask(self, prompt: str, most: int, client: httpx2.Client) -> str | None:
        """The text of the answer; None where none came."""
        body = {
            "model": self.model, "temperature": 0, "max_tokens": most,
            "messages": [{"role": "system", "content": SYSTEM},
                         {"role": "user", "content": prompt}],
        }  # fmt: skip
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        for attempt in range(self.retries + 1):
            if attempt:
                # Spread, so that questions refused together do not come back together.
                time.sleep(self.pause * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
            try:
                with client.stream("POST", url, json=body) as response:
                    content = _bounded(response.iter_bytes(), self.base_url)
            except httpx2.ConnectError:
                if attempt == self.retries:
                    raise UserError(
                        f"{self.base_url}: cannot be reached; expected a server of chat completions"
                    ) from None
                continue
            except httpx2.TransportError:
                continue
            if response.status_code in PASSING:
                continue
            if response.status_code != 200:
                raise UserError(
                    f"{self.base_url}: answered {response.status_code} "
                    f"({content.decode(errors='replace')[:100].strip()!r}); expected an answer "
                    f"from model {self.model!r}"
                )
            return _text_in(content)
        return None


def _bounded(parts: Iterator[bytes], url: str) -> bytes:
    """All of an answer, which may have no end."""
    content = bytearray()
    for part in parts:
        content += part
        if len(content) > LARGEST:
            raise UserError(f"{url}: answers more than {LARGEST} bytes; expected a candidate")
    return bytes(content)


def _text_in(answer: bytes) -> str | None:
    try:
        content: Any = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return content if isinstance(content, str) else None


class _Cache:
    """Answers by prompt in one file; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.lock = path, threading.Lock()
        self.file: sqlite3.Connection | None = None

    def __enter__(self) -> _Cache:
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.file = sqlite3.connect(self.path, check_same_thread=False)
                self.file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
                self.file.execute(TABLE.replace("table", "table if not exists"))
                # Views and triggers of a stranger's would be run: the file holds the table alone.
                (held, *more) = self.file.execute(
                    "select lower(sql) from sqlite_master where sql is not null"
                ).fetchall()
                if more or held != (TABLE,):
                    raise sqlite3.DatabaseError("it holds other things")
            except (OSError, sqlite3.Error) as error:
                if self.file is not None:
                    self.file.close()
                raise UserError(f"{self.path}: is no cache of answers ({error})") from None
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()

    def get(self, key: str) -> str | None:
        if self.file is None:
            return None
        with self.lock, self._told():
            row = self.file.execute("select text from answers where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, text: str) -> None:
        if self.file is not None:
            with self.lock, self._told(), self.file:
                self.file.execute("insert or replace into answers values (?, ?)", (key, text))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: is a damaged cache of answers ({error})") from None
