"""The demo: formant words, task after task. Needs no data and no download."""

from __future__ import annotations

from typing import Any

from nearfar_kit.metrics import Metrics
from nearfar_kit.report import Report, end_report
from nearfar_kit.run import RunFolder
from nearfar_kit.table import Table
from nearfar_speech.bench import jobs_of, make_features, run_jobs
from nearfar_speech.comparison import write_comparison
from nearfar_speech.continual import new_encoder
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.simulate import simulate_clips

__all__ = ["DEMO", "run_demo"]

DEMO: dict[str, Any] = {
    "tasks": 3, "shuffled": True, "memory": 12, "vocabulary": 100, "dropout": 0.0, "frozen": 4,
    "width": 64, "contrast": 64, "epochs": 20, "first_epochs": 20, "learning_rate": 2e-3,
    "beam": 2, "max_tokens": 24,
}  # fmt: skip
METHODS = ("fine-tune", "ER iCaRL", "COCONUT")
SEEDS, PROCESSES = 3, 2


def run_demo(
    run: RunFolder, metrics: Metrics, settings: SpeechSettings, seed: int, quiet: bool
) -> Table:
    """Simulates, compares and reports; gives the table of the comparison."""
    found = simulate_clips(run.checkpoint / "simulated", seed=seed)
    features = run.checkpoint / "features.safetensors"
    make_features(features, found, new_encoder(settings), quiet=quiet)
    metrics.add(
        run_jobs(
            jobs_of(METHODS, SEEDS), found, features, run.checkpoint / "jobs", settings,
            processes=PROCESSES, quiet=quiet,
        )
    )  # fmt: skip
    metrics.write(run.metrics)
    report = Report(
        "Intents learnt task after task",
        "COCONUT on formant words: made-up words of a simple simulated voice. The simulator is "
        "stated in the package; its figures show that the method works, not how well it does on "
        "people.",
    )
    report.section(
        "What is compared",
        "Six intents, two a task; every utterance names a room as well. Speakers in the test are "
        "never trained on. Fine-tuning forgets what it learnt before; the others keep two clips "
        "of each intent.",
    )
    tables = write_comparison(run.path, metrics, report)
    end_report(report, run, metrics)
    return tables[0]
