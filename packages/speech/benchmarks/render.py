"""Renders table.md and the plots of a benchmark again from its metrics.json.

python packages/speech/benchmarks/render.py packages/speech/benchmarks/results/fsdd
"""

import sys
from pathlib import Path

from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report
from nearfar_speech.comparison import write_comparison

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_comparison(folder, Metrics.read(folder / "metrics.json"), Report("", ""))
