"""One table over all domains: each claim's method, its best baseline, and the gain over it.

What is compared with what stands here; the numbers are those of the benchmarks' metrics.json.
"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Claim:
    """``ours`` against the best of ``baselines`` in one metric of one data set.

    Attributes:
        where: parts that a record's split must have.
        own: parts of the split of ``ours`` alone, where it has some.
        each: the part of the split that is a draw of its own, beside the seed.
    """

    domain: str
    what: str
    folder: str
    metric: str
    ours: str
    baselines: tuple[str, ...]
    command: str
    dataset: str = ""
    where: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    each: str = ""
    digits: int = 3

    def values(self, method: str, parts: tuple[str, ...]) -> dict[object, float]:
        """The mean of each draw."""
        file = ROOT / "packages" / self.domain / "benchmarks" / "results" / self.folder
        found: dict[object, list[float]] = {}
        for record in json.loads((file / "metrics.json").read_text(encoding="utf-8"))["records"]:
            split = record["split"].split(",")
            if (
                record["method"] == method and record["metric"] == self.metric
                and record["dataset"] in (self.dataset, self.dataset or record["dataset"])
                and set(parts) <= set(split)
            ):  # fmt: skip
                draw = next((p for p in split if p.startswith(f"{self.each}=")), record["seed"])
                found.setdefault(draw, []).append(record["value"])
        return {draw: statistics.fmean(own) for draw, own in found.items()}

    def row(self) -> list[str]:
        own = self.values(self.ours, self.where + self.own)
        others = {name: self.values(name, self.where) for name in self.baselines}
        best = max(others, key=lambda name: statistics.fmean(others[name].values()))
        theirs = others[best]
        gains = [own[draw] - theirs[draw] for draw in own.keys() & theirs.keys()]
        once = len(theirs) == 1  # a baseline without a draw
        if once:
            gains = [value - next(iter(theirs.values())) for value in own.values()]
        return [
            NAMES[self.domain], self.what, self.ours, self.cell(own.values()), best,
            self.cell(theirs.values()), self.cell(gains, "+"), f"`{self.command}`",
        ]  # fmt: skip

    def cell(self, values, sign: str = "") -> str:
        values = list(values)
        mean = f"{statistics.fmean(values):{sign}.{self.digits}f}"
        if len(values) == 1:
            return mean
        return f"{mean} ± {statistics.stdev(values):.{self.digits}f}"


NAMES = {
    "har": "wearables", "medical": "medicine", "speech": "speech", "seqrec": "recommendation",
    "bundle": "shops", "dna": "genomics", "tables": "tables",
}  # fmt: skip
REHEARSAL = ("fine-tune", "ER random", "ER iCaRL")
DISTILLED = ("audio-KD", "token-KD", "S-KD")
NEXT = ("popular", "item-kNN", "GRU4Rec", "SASRec")
SIMPLE = (
    "popularity", "co-occurrence, cosine", "item-kNN, bundles", "best blend",
    "best blend, cold items raised",
)  # fmt: skip
TNF = ("TNF", "TNF, canonical", "TNF, canonical, z-scored", "TNF-K", "TNF VAE")
CUT = ("by=species", "length=5000", "errors=0.0")


def _next(what: str, folder: str, dataset: str) -> Claim:
    return Claim(
        "seqrec", f"{what}: NDCG@10", folder, "ndcg@10", "MCLRec", NEXT,
        f"nearfar seqrec bench --data {dataset}", digits=4,
    )  # fmt: skip


def _bundles(what: str, dataset: str) -> Claim:
    return Claim(
        "bundle", f"{what}: recall@20", "", "recall@20", "nearfar", SIMPLE,
        f"nearfar bundle bench --data {dataset}", dataset=dataset, where=("missing=0.0",),
        each="split",
    )  # fmt: skip


CLAIMS = [
    Claim(
        "har", "DSADS, 10 % of labels: macro F1", "", "macro_f1", "colossl",
        ("random forest", "supervised", "supervised, rotated"), "nearfar har bench --data dsads",
        where=("labels=0.1",), own=("readout=tuned",),
    ),
    Claim(
        "medical", "hippocampus, 1 labelled volume: Dice", "hippocampus", "dice",
        "G^D + L^R + Mixup", ("baseline", "nnU-Net-like", "MONAI restoration", "baseline + Mixup"),
        "nearfar medical bench --data msd_hippocampus", where=("labelled=1", "structure=mean"),
    ),
    Claim(
        "medical", "the same, intensities augmented", "hippocampus", "dice", "G^D, intensities",
        ("baseline, intensities",), "nearfar medical bench --data msd_hippocampus",
        where=("labelled=1", "structure=mean"),
    ),
    *(
        Claim(
            "speech", f"{what}: last accuracy{beside}", folder, "last accuracy", ours, others,
            f"nearfar speech bench --data {folder}", where=("after=all",),
        )
        for what, folder in (("digits", "fsdd"), ("coffee orders", "barista"))
        for beside, ours, others in (
            ("", "COCONUT", REHEARSAL), (", distilled", "COCONUT + S-KD", DISTILLED)
        )
    ),
    _next("MovieLens 100k", "ml-100k", "ml-100k"),
    _next("LastFM", "lastfm", "LastFM.txt"),
    _next("Beauty, its 8-core", "beauty", "Amazon_Beauty.txt"),
    _next("Sports, its 8-core", "sports", "Amazon_Sports_and_Outdoors.txt"),
    _bundles("electronics", "bundlerec_electronic"),
    _bundles("clothing", "bundlerec_clothing"),
    _bundles("meals", "MealRecPlus_H"),
    _bundles("Youshu", "Youshu"),
    Claim(
        "dna", "species unseen, 5 kb: ARI", "", "ari", "curriculum", TNF,
        "nearfar dna bench --data genomes", where=CUT,
    ),
    Claim(
        "dna", "species unseen, 5 kb: 2-shot F1", "", "f1@2", "curriculum", TNF,
        "nearfar dna bench --data genomes", where=CUT,
    ),
    *(
        Claim(
            "tables", f"{what}: F1 without labels", "", "F1 of test pairs", "nearfar",
            ("3-gram cosine, threshold from valid labels", "splink"),
            "nearfar tables bench --data tables",
            dataset=dataset,
        )
        for what, dataset in (
            ("Amazon-Google", "amazon-google"), ("Abt-Buy", "abt-buy"), ("Beer", "beer")
        )
    ),
]  # fmt: skip


def summary(claims: list[Claim] = CLAIMS) -> str:
    """The table, in Markdown."""
    head = ["domain", "data and measure", "method", "", "best baseline", "", "gain", "command"]
    rows = [head, ["---"] * len(head), *(claim.row() for claim in claims)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
