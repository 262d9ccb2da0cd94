"""Renders table.md and the plots of a benchmark again from its metrics.json.

python packages/har/benchmarks/render.py packages/har/benchmarks/results
"""

import sys
from pathlib import Path

from nearfar_har.comparison import write_comparison
from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_comparison(folder, Metrics.read(folder / "metrics.json"), Report("", ""))
