"""``nearfar-speech``: demo, simulate, train, evaluate, recognise, bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nearfar_kit.bench import (
    Methods,
    Processes,
    ProfileName,
    methods_of,
    processes_of,
    profile_of,
    usable,
)  # fmt: skip
from nearfar_kit.command import (
    Config,
    Data,
    DeviceOption,
    Out,
    Overrides,
    Quiet,
    Resume,
    Seed,
    new_app,
    run_app,
    tell,
)  # fmt: skip
from nearfar_kit.errors import UserError
from nearfar_kit.layouts import data_sets, set_name
from nearfar_kit.settings import load_settings, preset_values
from nearfar_kit.verb import begin, device_of, end, simulated
from nearfar_speech.clip import Clip, ClipSet
from nearfar_speech.settings import PRESETS, SpeechSettings

app = new_app("Spoken language understanding that learns new intents without forgetting.")

Layout = Annotated[
    str | None,
    typer.Option("--layout", help="fsc, slurp, barista, fsdd or manifest; else by its look."),
]
ModelOption = Annotated[Path, typer.Option("--model", help="Run folder of train.")]
Preset = Annotated[str, typer.Option("--preset", help="cpu (small) or paper (wants a GPU).")]

TOLD = ("speechbrain", "sentencepiece", "numpy")  # packages whose versions metrics.json has

# torch and SpeechBrain take seconds to import: each verb imports what it needs, so that --help and
# a mistake in the call answer at once.


@app.command()
def demo(
    out: Out = Path("runs/demo-speech"),
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Two minutes on simulated words: rehearsal and COCONUT against forgetting, and a report."""
    from nearfar_speech.demo import DEMO, run_demo

    settings = load_settings(SpeechSettings, config, overrides or [], base=DEMO)
    run, metrics = begin("speech", "demo", out, settings, seed=seed, resume=resume, packages=TOLD)
    table = run_demo(run, metrics, settings, seed, quiet)
    Console().print(table.terminal())
    end(run)


@app.command()
def simulate(out: Out = Path("runs/commands"), seed: Seed = 0) -> None:
    """Simulated spoken commands and their manifest, to try the other verbs on."""
    from nearfar_speech.simulate import write_simulated

    simulated(
        write_simulated,
        out,
        seed,
        "nearfar speech train --data {} --out runs/speech --set memory=12",
    )


@app.command()
def train(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder or file of data; not to --resume.")
    ] = None,
    out: Out = Path("runs/speech"),
    task: Annotated[
        Path | None,
        typer.Option("--task", help="With --resume: data of one more task, of new classes alone."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="SentencePiece file, instead of a new one.")
    ] = None,
    layout: Layout = None,
    preset: Preset = "cpu",
    config: Config = None,
    overrides: Overrides = None,
    seed: Seed = 0,
    device: DeviceOption = "auto",
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Learn a whole curriculum, task after task; or one task more, from its own data alone."""
    if task is not None and not resume:
        raise UserError("--task adds to a run that is there; expected --resume and --out with it")
    if resume:
        _resume(out, task, layout, device, quiet)
        return
    if data is None:
        raise UserError("--data is absent; expected a folder or file of clips, or --resume")
    settings = load_settings(
        SpeechSettings, config, overrides or [], base=preset_values(PRESETS, preset)
    )
    from nearfar_kit.launch import launch
    from nearfar_speech.continual import new_model
    from nearfar_speech.manifests import DATA, write_prepared
    from nearfar_speech.prepare import prepare, short_enough
    from nearfar_speech.readers import find_clips
    from nearfar_speech.tokens import Tokens

    tokens = None if tokenizer is None else Tokens.load(tokenizer)
    found = find_clips(data, layout, max_seconds=settings.max_seconds, check="decode")
    found = short_enough(found, settings)
    _tell_found(found, quiet)  # before a mistake that what was left out may have made
    prepared = prepare(found, settings, seed, tokens, byte_fallback=True)
    _tell_held(prepared.clips, quiet)
    if note := prepared.memory_note(settings.memory):
        tell(note)
    # Before the run folder is there, which a mistake must not leave.
    model = new_model(settings, len(prepared.tokens), seed).to(launch(device_of(device)).device)
    run, metrics = begin("speech", "train", out, settings, device=device, seed=seed, packages=TOLD)
    write_prepared(run.path / DATA, prepared, found.name, seed)
    _learn(run, metrics, settings, model, quiet)


@app.command()
def evaluate(
    model: ModelOption,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder or file of data; else the run's own held-out clips."),
    ] = None,
    out: Out = Path("runs/speech-evaluation"),
    split: Annotated[
        str | None,
        typer.Option(
            help="train, valid, test, or all; else test, and all where the data name no split."
        ),
    ] = None,
    layout: Layout = None,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """A trained model on clips with labels: intent accuracy, word error rate, SLU-F1."""
    from nearfar_kit.launch import launch
    from nearfar_speech.answers import write_answers
    from nearfar_speech.evaluate import answers_on, heard_before
    from nearfar_speech.manifests import clips_of_run
    from nearfar_speech.readers import find_clips
    from nearfar_speech.report import write_run_report
    from nearfar_speech.weights import load_model

    trained = load_model(model)
    found = clips_of_run(model) if data is None else find_clips(data, layout)
    tell(*found.told(dropped=True))
    if split is None:
        split = "test" if any(clip.split for clip in found.clips) else "all"
    clips = found.clips if split == "all" else found.of(split)
    if not clips:
        raise UserError(
            f"{data or model}: no clip is in the split {split!r}; expected some, or --split all"
        )
    count, on = heard_before(model, clips)
    if count:
        tell(
            f"{count} of these {len(clips)} clips were trained on, and are no test of the model; "
            "without --data, those that its run held out are taken"
        )
    trained.model.to(launch(device_of(device)).device)
    answers = answers_on(trained, clips, quiet=quiet)
    run, metrics = begin("speech", "evaluate", out, trained.settings, device=device, packages=TOLD)
    write_answers(run.path / "answers.jsonl", answers)
    table = write_run_report(
        run, metrics, [answers], found.name, "trained model", 0,
        title="Spoken language understanding",
        subtitle=f"{model} on {data or 'its own clips'}.", on=on,
    )  # fmt: skip
    Console().print(table.terminal())
    end(run)


@app.command()
def recognise(
    model: ModelOption,
    paths: Annotated[list[Path], typer.Argument(help="WAV or FLAC files, or folders of them.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="JSON lines to write; else standard output.")
    ] = None,
    device: DeviceOption = "auto",
    quiet: Quiet = False,
) -> None:
    """What recordings mean, a JSON line each: intent, whether it is known, slots, words, score."""
    from nearfar_kit.atomic import write_atomic
    from nearfar_kit.launch import launch
    from nearfar_speech.evaluate import audio_files, json_line, meanings
    from nearfar_speech.weights import load_model

    files, clipped, faults = audio_files(paths)
    if faults:
        tell(
            f"{len(faults)} of {len(faults) + len(files)} files left out; the first is {faults[0]}"
        )
    for file in clipped:
        typer.echo(f"warning: {file}: is clipped; what it means is less sure", err=True)
    trained = load_model(model)
    trained.model.to(launch(device_of(device)).device)
    found = meanings(trained, files, quiet=quiet)
    lines = [json_line(one, trained.curriculum) for one in found]
    if out is None:
        typer.echo("\n".join(lines))
    else:
        write_atomic(out, "\n".join(lines) + "\n")


@app.command()
def bench(
    data: Data,
    out: Out = Path("runs/bench-speech"),
    profile: ProfileName = "cpu",
    methods: Methods = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Repetitions.")] = None,
    processes: Processes = None,
    test: Annotated[str, typer.Option(help="Split to answer; valid to choose settings.")] = "test",
    layout: Layout = None,
    config: Config = None,
    overrides: Overrides = None,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """The paper's comparison: every method learns the curriculum, over seeds; on the data set at
    --data, or on each one in that folder."""
    from nearfar_kit.report import Report, end_report
    from nearfar_speech.bench import jobs_of, make_features, run_jobs
    from nearfar_speech.comparison import PROFILES, write_comparison
    from nearfar_speech.continual import new_encoder
    from nearfar_speech.methods import METHODS
    from nearfar_speech.prepare import prepare, short_enough
    from nearfar_speech.readers import LAYOUTS, files_of_rows, find_clips

    if test not in ("valid", "test"):
        raise UserError(f"--test {test}: expected valid or test")
    chosen = profile_of(PROFILES, profile)
    settings = load_settings(SpeechSettings, config, overrides or [], base=chosen.settings)
    names = methods_of(methods, METHODS, chosen.methods)
    jobs = jobs_of(names, seeds or chosen.seeds)

    def take(path: Path) -> ClipSet:
        clips = find_clips(path, layout, max_seconds=settings.max_seconds)
        found = replace(short_enough(clips, settings), name=set_name(path))
        tell(*found.told(dropped=True))
        prepare(found, settings)  # a mistake is told before the run folder is there
        return found

    alone = layout is not None or files_of_rows(data)
    sets = usable([data] if alone else data_sets(LAYOUTS, data), take)
    encoder = new_encoder(settings)
    run, metrics = begin("speech", "bench", out, settings, resume=resume, packages=TOLD)
    for found in sets:
        folder = run.checkpoint / found.name
        make_features(folder / "features.safetensors", found, encoder, quiet=quiet)
        metrics.add(
            run_jobs(
                jobs, found, folder / "features.safetensors", folder / "jobs", settings, test=test,
                processes=processes_of(processes), quiet=quiet,
            )
        )  # fmt: skip
    metrics.write(run.metrics)
    report = Report(
        "Intents learnt task after task",
        "Every method of a seed sees the same tasks in the same order, the same clips and the same "
        "tokens; accuracy is that of the intent, among all classes seen so far.",
    )
    for table in write_comparison(run.path, metrics, report):
        Console().print(table.terminal())
    end_report(report, run, metrics)
    end(run)


def main() -> None:
    run_app(app)


def _tell_found(found: ClipSet, quiet: bool) -> None:
    """What the data hold; of what is left out, even where quiet."""
    if quiet:
        tell(*found.told(dropped=True))
    else:
        typer.echo(found.summary(), err=True)


def _tell_held(clips: Sequence[Clip], quiet: bool) -> None:
    if not quiet:
        count = sum(clip.split == "train" for clip in clips)
        typer.echo(f"{count} to train on, {len(clips) - count} held out", err=True)


def _resume(out: Path, task: Path | None, layout: str | None, device: str, quiet: bool) -> None:
    """Goes on with the run in ``out``, by its own settings and data."""
    from nearfar_kit.launch import launch
    from nearfar_speech.continual import new_model
    from nearfar_speech.extend import extended
    from nearfar_speech.manifests import DATA, read_prepared, write_prepared
    from nearfar_speech.prepare import short_enough
    from nearfar_speech.readers import find_clips

    if not (out / "settings.yaml").exists():
        raise UserError(f"--resume: {out} holds no run; expected the folder of one")
    settings = load_settings(SpeechSettings, out / "settings.yaml")
    prepared, dataset, seed = read_prepared(out / DATA)
    more = None
    if task is not None:
        found = find_clips(task, layout, max_seconds=settings.max_seconds, check="decode")
        found = short_enough(found, settings)
        _tell_found(found, quiet)
        more = extended(prepared, found, settings, seed)
        _tell_held(more.clips[len(prepared.clips) :], quiet)
    model = new_model(settings, len(prepared.tokens), seed).to(launch(device_of(device)).device)
    run, metrics = begin(
        "speech", "train", out, settings, device=device, seed=seed, resume=True, packages=TOLD
    )
    if more is not None:
        write_prepared(run.path / DATA, more, dataset, seed)
    _learn(run, metrics, settings, model, quiet)


def _learn(run: Any, metrics: Any, settings: SpeechSettings, model: Any, quiet: bool) -> None:
    """Learns the tasks that are left, tests after each, and leaves the model and the report."""
    from nearfar_speech.continual import learn_curriculum, new_learner
    from nearfar_speech.manifests import DATA, read_prepared
    from nearfar_speech.report import write_run_report, write_untested_report
    from nearfar_speech.weights import Trained, save_model

    # Read back: a resumed run sees no other paths than the first.
    prepared, dataset, seed = read_prepared(run.path / DATA)
    learner = new_learner(prepared, settings, seed, model=model)
    answers = learn_curriculum(learner, prepared, run, quiet=quiet)
    learner.buffer.save(run.checkpoint / "buffer.json")
    trained = Trained(learner.model, learner.tokens, settings, prepared.curriculum)
    save_model(run.checkpoint, trained)
    if answers[-1]:
        table = write_run_report(
            run, metrics, answers, dataset, "trained model", seed,
            title="Intents learnt task after task",
            subtitle=f"{len(prepared.curriculum)} tasks of {dataset}, "
            f"{len(learner.buffer)} clips remembered.",
            on="Over all tasks, on clips that were not trained on.", prepared=prepared,
        )  # fmt: skip
        Console().print(table.terminal())
    else:
        write_untested_report(run, metrics, prepared, dataset)
    end(run)


if __name__ == "__main__":
    main()
