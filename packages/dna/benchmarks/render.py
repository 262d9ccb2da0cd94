"""Renders table.md and the plots of a benchmark again from its metrics.json.

python packages/dna/benchmarks/render.py packages/dna/benchmarks/results
"""

import sys
from pathlib import Path

from nearfar_dna.report import write_comparison
from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_comparison(folder, Metrics.read(folder / "metrics.json"), Report("", ""))
