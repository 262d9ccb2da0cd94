"""Over all data sets: what each method has more than the SASRec of the same seed, in NDCG@10.

python packages/seqrec/benchmarks/render.py packages/seqrec/benchmarks/results ml-100k lastfm ...
"""

import sys
from pathlib import Path

from nearfar_kit.atomic import write_atomic
from nearfar_kit.gains import gains
from nearfar_kit.metrics import Metrics
from nearfar_kit.table import Cell, Table, summarise
from nearfar_seqrec.report import BASELINE, value

METRIC = "ndcg@10"


def rendered(folders: list[Path]) -> Table:
    """A row a method, a column a data set."""
    columns: dict[str, dict[str, Cell | str]] = {}
    for folder in folders:
        records = Metrics.read(folder / "metrics.json").records
        rows = gains(records, BASELINE, [METRIC], "", shown=value).rows
        seeds = len({record.seed for record in records})
        columns[f"{records[0].dataset}, {seeds} seeds"] = {str(name): cell for name, cell in rows}
    methods = dict.fromkeys(method for own in columns.values() for method in own)
    none = summarise([])
    return Table(
        f"{METRIC.upper()} less the {BASELINE} of the same seed; mean ± standard deviation.",
        ["method", *columns],
        [[method, *(own.get(method, none) for own in columns.values())] for method in methods],
    )


if __name__ == "__main__":
    results = Path(sys.argv[1])
    table = rendered([results / name for name in sys.argv[2:]])
    (results / "gains").mkdir(exist_ok=True)
    write_atomic(results / "gains" / "table.md", table.markdown())
