"""Zero-shot intents and the order of words, speech against text.

    python audio_text.py barista --data ../shared/data/speech --out results/zero-shot-barista
    python audio_text.py slurp --data ../shared/data/speech --out results/zero-shot-slurp
    python audio_text.py digits --data ../shared/data/speech --out results/order-digits
    python audio_text.py commands --data ../shared/data/speech --out results/order-commands

``barista``: coffee orders of people, 3 of 10 drinks never trained. ``slurp``: SLURP's sentences in
synthetic speech (eSpeak NG), 12 of 59 intents never trained. ``digits``, ``commands``: two words of
one speaker joined, speakers and pairs of words held out, of the commands also 4 words. Writes
``metrics.json`` and ``table.md`` and prints the table. Begun again, it does what is not done yet.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import balanced_accuracy_score

import nearfar
from nearfar_kit.atomic import write_atomic
from nearfar_kit.errors import UserError
from nearfar_kit.launch import describe_device
from nearfar_kit.metrics import Metrics, Record, parse_split, split_key, versions_of
from nearfar_kit.report import facts
from nearfar_kit.table import Cell, Table, spread_over, summarise
from nearfar_speech.audio import read_audio
from nearfar_speech.audio_text import LatentText, OrderContrast, ZeroShot
from nearfar_speech.audio_text.joined import joined, then
from nearfar_speech.audio_text.zero_shot import prompt_vectors
from nearfar_speech.clip import Clip
from nearfar_speech.encoders import make_encoder
from nearfar_speech.features import Features
from nearfar_speech.readers import find_clips
from nearfar_speech.synthetic import make_slurp

ENCODER = {"frozen": 5}  # the last block of six learns: more of them take a core's hours
STEPS = {"barista": 150, "slurp": 200, "digits": 300, "commands": 300}
CAPTIONS = {
    "barista": "zero-shot on coffee orders of people, 3 of 10 drinks never trained: balanced "
    "accuracy among the three",
    "slurp": "zero-shot on SLURP's sentences in synthetic speech (eSpeak NG), 12 of 59 intents "
    "never trained, speakers held out: balanced accuracy among the twelve",
    "digits": "two spoken digits joined, speaker and pairs held out: share of clips nearer to "
    "their caption than to it turned round (order), and nearest to it of all 90 (retrieval)",
    "commands": "two spoken commands joined, speakers, pairs and 4 of 30 words held out: share of "
    "clips nearer to their caption than to it turned round (order), and nearest to it of all 650, "
    "of words never trained 12 (retrieval)",
}
ZERO_SHOT: dict[str, dict[str, object]] = {
    "cwcl": {"loss": "cwcl"}, "cwcl, softmax weights": {"loss": "cwcl-softmax"},
    "clip": {"loss": "clip"},
}  # fmt: skip
RIDGE, TRANSCRIPTS, CHANCE = "ridge regression", "text tower on what was said", "chance"
ORDER: dict[str, dict[str, float]] = {
    "clip": {"own": 0, "cross": 0},
    "turned round, own clip alone": {"own": 1, "cross": 0},
    "turned round, all clips": {"own": 1, "cross": 1},
}
METHODS = {
    "barista": (*ZERO_SHOT, RIDGE, TRANSCRIPTS, CHANCE),
    "slurp": (*ZERO_SHOT, RIDGE, TRANSCRIPTS, CHANCE),
    "digits": (*ORDER, CHANCE),
    "commands": (*ORDER, CHANCE),
}
Prompts = Mapping[str, Mapping[str, Sequence[str]]]
Scores = Iterator[tuple[str, str, float, int]]  # split, metric, value, n


def words_of(name: str) -> str:
    return name.removeprefix("orderDrink_").replace("_", " ")


def order_text(clip: Clip) -> str:
    """An order in the grammar's words, for the set has no transcripts."""
    slots = dict(clip.slots)
    front = [slots.get("roast"), slots.get("size"), slots.get("numberOfShots")]
    rest = [slots[kind] for kind in ("milkAmount", "sugarAmount") if kind in slots]
    drink = " ".join([*filter(None, front), words_of(clip.intent)])
    return f"{drink} with {' and '.join(rest)}" if rest else drink


def held_out(
    clips: Sequence[Clip], count: int, seed: int
) -> tuple[list[str], Callable[[Clip], bool]]:
    """Intents that are not trained, and whether a clip is of one."""
    intents = sorted({clip.intent for clip in clips})
    chosen = sorted(np.random.default_rng(seed).choice(intents, count, replace=False).tolist())
    return chosen, lambda clip: clip.intent in chosen


def coffee(data: Path, seed: int) -> tuple[list[Clip], list[Clip], Callable, Prompts]:
    """Clips to learn from, clips to test, the text of a clip, prompts by their kind."""
    clips = find_clips(data / "barista").clips
    intents, is_held = held_out(clips, 3, seed)
    sentences = [
        line for line in (data / "barista" / "corpus.txt").read_text().splitlines() if line
    ]
    drinks = sorted({words_of(clip.intent) for clip in clips}, key=len, reverse=True)
    ordered = [next((d for d in drinks if d in line), "") for line in sentences]
    said = {
        intent: [s for s, d in zip(sentences, ordered, strict=True) if d == words_of(intent)]
        for intent in intents
    }
    prompts = {"names": {i: [words_of(i)] for i in intents}, "sentences": said}
    train, test = ([c for c in clips if is_held(c) is held] for held in (False, True))
    return train, test, order_text, prompts


def assistant(data: Path, seed: int) -> tuple[list[Clip], list[Clip], Callable, Prompts]:
    found = find_clips(synthetic_slurp(data))
    intents, is_held = held_out(found.clips, 12, seed)
    train = [clip for clip in found.of("train") if not is_held(clip)]
    test = [clip for clip in found.of("test") if is_held(clip)]
    said = {i: [c.transcript for c in found.of("train") if c.intent == i] for i in intents}
    prompts = {"names": {i: [words_of(i)] for i in intents}, "sentences": said}
    return train, test, lambda clip: clip.transcript, prompts


@cache
def synthetic_slurp(data: Path) -> Path:
    return make_slurp(
        Path(scratch().name) / "slurp", data / "slurp" / "devel.jsonl",
        sentences=16, shares=(0, 0.4), speakers=(24, 1, 8),
    )  # fmt: skip


@cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes when the process ends."""
    return tempfile.TemporaryDirectory()


@cache
def shared_features() -> Features:
    return Features(make_encoder(**ENCODER))


def zero_shot(task: str, data: Path, method: str, seed: int) -> Scores:
    train, test, text_of, kinds = (coffee if task == "barista" else assistant)(data, seed)
    true = [clip.intent for clip in test]
    for kind, prompts in kinds.items():
        if method == CHANCE:
            yield split_key(prompts=kind), "accuracy", 1 / len(prompts), len(test)
    if method == CHANCE:
        return
    texts = [text_of(clip) for clip in train]
    tower = LatentText(texts)
    if method == TRANSCRIPTS:
        vectors = tower([text_of(clip) for clip in test])
    elif method == RIDGE:
        vectors = ridge(train, tower(texts), test)
    else:
        model = ZeroShot(
            text=tower, encoder_options=ENCODER, features=shared_features(), steps=STEPS[task],
            random_state=seed, **ZERO_SHOT[method],
        )  # fmt: skip
        vectors = model.fit(train, texts).transform(test)
    for kind, prompts in kinds.items():
        nearest = (vectors @ prompt_vectors(tower, prompts).numpy().T).argmax(1)
        value = balanced_accuracy_score(true, [list(prompts)[i] for i in nearest])
        yield split_key(prompts=kind), "accuracy", float(value), len(test)


def ridge(train: Sequence[Clip], vectors: np.ndarray, test: Sequence[Clip]) -> np.ndarray:
    """The mean frame, standardised, to text vectors: no order, no contrast."""
    features, encoder = shared_features(), shared_features().encoder

    @torch.no_grad()
    def mean_frames(clips: Sequence[Clip]) -> np.ndarray:
        rows = []
        for clip in clips:
            feature = features.of(clip.path)
            frames, _ = encoder.body(feature[None], torch.tensor([len(feature)]))
            rows.append(frames[0].mean(0).numpy())
        return np.stack(rows)

    known = mean_frames(train)
    mean, spread = known.mean(0), known.std(0)
    model = Ridge(alpha=10.0).fit((known - mean) / spread, vectors)
    return model.predict((mean_frames(test) - mean) / spread)


def spoken_words(task: str, data: Path) -> dict[tuple[str, str], list[Path]]:
    """Clips by speaker and word."""
    found: dict[tuple[str, str], list[Path]] = {}
    if task == "digits":
        for clip in find_clips(data / "fsdd", check="none").clips:
            found.setdefault((clip.speaker, clip.intent), []).append(clip.path)
    else:
        for file in sorted((data / "speech_commands_10x30").glob("*/*.*")):
            if file.suffix in (".wav", ".flac"):
                speaker = file.stem.partition("_")[0]
                found.setdefault((speaker, file.parent.name), []).append(file)
    return found


def pairs_of(task: str, data: Path, seed: int) -> dict[str, list[tuple[str, str, str]]]:
    """Names of joined clips and their two words: to train on, to test, and of unseen words.

    A pair of words is held out in both orders. Commands are joined of different speakers of one
    side of the split, for hardly one says two of the words.
    """
    rng = np.random.default_rng(seed)
    spoken = spoken_words(task, data)
    speakers = sorted({speaker for speaker, _ in spoken})
    words = sorted({word for _, word in spoken})
    share = 1 if task == "digits" else len(speakers) // 4
    tested = {speakers[(seed + i * 4) % len(speakers)] for i in range(share)}
    unseen = set() if task == "digits" else set(rng.choice(words, 4, replace=False).tolist())
    seen = [word for word in words if word not in unseen]
    both = list(itertools.combinations(seen, 2))
    held = {both[i] for i in rng.choice(len(both), len(both) // 3, replace=False)}
    repeats = {"train": 8, "test": 6} if task == "digits" else {"train": 1, "test": 1, "unseen": 6}
    made: dict[str, list[tuple[str, str, str]]] = {name: [] for name in repeats}
    features = shared_features()
    for part, count in repeats.items():
        side = [s for s in speakers if (s in tested) == (part != "train")]
        for one, two in itertools.permutations(sorted(unseen) if part == "unseen" else seen, 2):
            if part != "unseen" and ((min(one, two), max(one, two)) in held) == (part == "train"):
                continue
            for i in range(count):
                files = files_of(spoken, side, one, two, task == "digits", rng)
                if files is None:
                    continue
                apart = int(rng.integers(-1600, 1601))  # a tenth of a second either way
                name = f"{seed} {part} {one} {two} {i}"
                whole = joined(*(read_audio(file).samples for file in files), apart)
                if name not in features.kept:
                    features.add(name, torch.from_numpy(whole))
                made[part].append((name, one, two))
    return made


def files_of(
    spoken: Mapping[tuple[str, str], list[Path]],
    side: Sequence[str],
    one: str,
    two: str,
    same_speaker: bool,
    rng: np.random.Generator,
) -> tuple[Path, Path] | None:
    """A file of each word; None where this side of the split has not said one of them."""
    if same_speaker:
        side = [side[rng.integers(len(side))]]
    files = [[f for s in side for f in spoken.get((s, word), [])] for word in (one, two)]
    if not all(files):
        return None
    first, second = (own[rng.integers(len(own))] for own in files)
    return first, second


@cache
def joined_words(task: str, data: Path, seed: int) -> dict[str, list[tuple[str, str, str]]]:
    return pairs_of(task, data, seed)


def order(task: str, data: Path, method: str, seed: int) -> Scores:
    parts = joined_words(task, data, seed)
    names, ones, twos = zip(*parts["train"], strict=True)
    if method != CHANCE:
        model = OrderContrast(
            encoder_options=ENCODER, features=shared_features(), steps=STEPS[task],
            random_state=seed, **ORDER[method],
        )  # fmt: skip
        model.fit(
            names, [then(a, b) for a, b in zip(ones, twos, strict=True)],
            [[then(b, a)] for a, b in zip(ones, twos, strict=True)],
        )  # fmt: skip
    for part in [part for part in parts if part != "train"]:
        tests = parts[part]
        known = {w for _, a, b in (tests if part == "unseen" else parts["train"]) for w in (a, b)}
        captions = [then(a, b) for a, b in itertools.permutations(sorted(known), 2)]
        if method == CHANCE:
            yield split_key(words=part), "order", 0.5, len(tests)
            yield split_key(words=part), "retrieval", 1 / len(captions), len(tests)
            continue
        scores = model.scores([name for name, _, _ in tests], captions)
        place = {caption: i for i, caption in enumerate(captions)}
        right = np.array([place[then(a, b)] for _, a, b in tests])
        wrong = np.array([place[then(b, a)] for _, a, b in tests])
        rows = np.arange(len(tests))
        first = np.mean(scores[rows, right] > scores[rows, wrong])
        yield split_key(words=part), "order", float(first), len(tests)
        nearest = np.mean(scores.argmax(1) == right)
        yield split_key(words=part), "retrieval", float(nearest), len(tests)


def table_of(task: str, records: Sequence[Record], seeds: int) -> Table:
    columns = list(dict.fromkeys((r.split, r.metric) for r in records if r.metric != "seconds"))
    titles = []
    for split, metric in columns:
        parts = parse_split(split)
        titles.append({
            "names": "prompts: names", "sentences": "prompts: sentences",
            "test": f"{metric}, pairs held out", "unseen": f"{metric}, words never trained",
        }[parts.get("prompts", parts.get("words", ""))])  # fmt: skip
    rows: list[list[Cell | str]] = []
    for method in (m for m in METHODS[task] if any(r.method == m for r in records)):
        own = [r for r in records if r.method == method]
        cells = [
            summarise(r.value for r in own if (r.split, r.metric) == column) for column in columns
        ]
        bounds = method in (TRANSCRIPTS, CHANCE)  # no methods: not to be the best of a column
        rows.append([method, *(map(str, cells) if bounds else cells)])
    caption = f"{CAPTIONS[task]}; {spread_over(seeds)}."
    return Table(caption, ["method", *titles], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=list(CAPTIONS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the speech data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", metavar="METHOD")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    methods = options.methods or METHODS[options.task]
    if unknown := set(methods) - set(METHODS[options.task]):
        raise UserError(f"method {min(unknown)!r}: not among {', '.join(METHODS[options.task])}")
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "metrics.json"
    metrics = Metrics(
        "speech", "bench", versions_of("nearfar-speech", "livekit-wakeword", "scikit-learn"),
        describe_device("cpu"), nearfar.loss_path("cpu"),
        f"{options.task} frozen={ENCODER['frozen']} steps={STEPS[options.task]}",
    )  # fmt: skip
    if file.exists():
        before = Metrics.read(file)
        if before.settings_hash != metrics.settings_hash:
            raise UserError(f"{file}: made with other settings; expected the same or another --out")
        metrics.add(before.records)
        metrics.began -= before.seconds
    done = {(r.method, r.seed) for r in metrics.records}
    measured = zero_shot if options.task in ("barista", "slurp") else order
    for seed in range(options.seeds):
        for method in methods:
            if (method, seed) in done:
                continue
            began = time.perf_counter()
            scores = list(measured(options.task, options.data, method, seed))
            seconds = time.perf_counter() - began
            metrics.add(
                [Record(options.task, s, method, seed, m, value, n) for s, m, value, n in scores]
            )
            told = ", ".join(f"{s} {m} {value:.3f}" for s, m, value, _ in scores)
            print(f"{method}, seed {seed}, {seconds:.0f} s: {told}", file=sys.stderr, flush=True)
            metrics.write(file)
    table = table_of(options.task, metrics.records, options.seeds)
    made = "; ".join(f"{what}: {found}" for what, found in facts(metrics).items())
    write_atomic(options.out / "table.md", f"{table.markdown()}\n{made}\n")
    print(table.markdown())


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
