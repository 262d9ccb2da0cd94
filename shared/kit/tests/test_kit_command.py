"""How a command ends, what it prints, and what the umbrella finds."""

from __future__ import annotations

import json
import time
from importlib.metadata import EntryPoint

import pytest
import typer

import nearfar_kit.progress as progress_module
from nearfar_kit import domains
from nearfar_kit.command import Data, Out, Resume, new_app, run_app
from nearfar_kit.errors import UserError
from nearfar_kit.launch import launch
from nearfar_kit.progress import Progress
from nearfar_kit.report import Report
from nearfar_kit.umbrella import _fresh
from nearfar_kit.umbrella import app as umbrella


def app_that(error: BaseException | None) -> typer.Typer:
    app = new_app("Some help.")

    @app.command()
    def one(name: str = "x") -> None:
        if error is not None:
            raise error
        print("done", name)

    @app.command()
    def other() -> None: ...

    return app


class TestStatus:
    @pytest.mark.parametrize(
        ("error", "status", "told"),
        [
            (None, 0, ""),
            (UserError("a.csv, row 3: no time"), 2, "error: a.csv, row 3: no time\n"),
            (ZeroDivisionError("by zero\nmore"), 1,
             "failure: ZeroDivisionError: by zero (--debug shows more)\n"),
            (KeyboardInterrupt(), 130, "stopped; nothing is kept yet\n"),
            (typer.Exit(3), 3, ""),
        ],
    )  # fmt: skip
    def test_one_line_and_its_status(self, capsys, error, status, told):
        with pytest.raises(SystemExit) as end:
            run_app(app_that(error), ["one"])
        assert (end.value.code or 0) == status
        assert capsys.readouterr().err == told

    @pytest.mark.parametrize("arguments", [["--debug", "one"], ["one", "--debug"]])
    def test_debug_shows_the_traceback(self, capsys, arguments):
        with pytest.raises(SystemExit):
            run_app(app_that(UserError("bad")), arguments)
        assert "Traceback" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "told", "command"),
        [
            (["none"], "No such command 'none'", "nearfar some"),
            (["one", "--nmae", "y"], "No such option: --nmae", "nearfar some one"),
            (["one", "more"], "Got unexpected extra argument", "nearfar some one"),
        ],
    )
    def test_a_mistake_in_the_call_is_one_line(self, capsys, arguments, told, command):
        with pytest.raises(SystemExit) as end:
            run_app(app_that(None), arguments, "nearfar some")
        assert end.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: {told}")
        assert err.endswith(f"; {command} --help tells what is expected\n")
        assert err.count("\n") == 1

    @pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0)])
    def test_help_names_the_program_as_it_was_called(self, capsys, arguments, status):
        with pytest.raises(SystemExit) as end:
            run_app(app_that(None), arguments, "nearfar some")
        assert (end.value.code or 0) == status
        assert "Usage: nearfar some " in " ".join("".join(capsys.readouterr()).split())

    def test_a_failure_without_words(self, capsys):
        with pytest.raises(SystemExit):
            run_app(app_that(RuntimeError()), ["one"])
        assert capsys.readouterr().err.startswith("failure: RuntimeError")


class TestProgress:
    def test_lines_where_there_is_no_terminal(self, capsys, monkeypatch):
        monkeypatch.setattr(progress_module, "LINE_EVERY", 0.0)
        with Progress("work", 3, done=1) as bar:
            time.sleep(0.01)
            bar.advance(loss=0.12345678)
            bar.advance(name="x")
        out, err = capsys.readouterr()
        assert out == ""
        first, last = err.splitlines()
        assert first.startswith("work: 2/3, 0 s left")
        assert first.endswith("loss 0.1235")
        assert last.endswith("name x")

    def test_few_lines_and_always_the_last(self, capsys):
        with Progress("work", 1000) as bar:
            for _ in range(1000):
                bar.advance()
        assert len(capsys.readouterr().err.splitlines()) == 1

    @pytest.mark.parametrize(("quiet", "rank"), [(True, "0"), (False, "1")])
    def test_silent(self, capsys, monkeypatch, quiet, rank):
        monkeypatch.setenv("RANK", rank)
        with Progress("work", 1, quiet=quiet) as bar:
            bar.advance()
        assert capsys.readouterr().err == ""


class TestUmbrella:
    @pytest.fixture
    def installed(self, monkeypatch):
        def install(**apps):
            found = {}
            for name in apps:
                entry = EntryPoint(name, "none:app", "nearfar.domains")
                found[name] = domains.Domain(name, "0.1.0", f"about {name}", entry)
            monkeypatch.setattr(domains, "installed_domains", lambda: found)
            monkeypatch.setattr("nearfar_kit.umbrella.installed_domains", lambda: found)

            def load(self):
                if apps[self.name] is None:
                    raise ImportError("broken")
                return apps[self.name]

            monkeypatch.setattr(domains.Domain, "app", load)

        return install

    def run(self, *arguments):
        with pytest.raises(SystemExit) as end:
            run_app(umbrella, list(arguments))
        return end.value.code or 0

    def test_one_broken_package_hides_no_other(self, installed, capsys):
        installed(good=app_that(None), bad=None)
        assert self.run("list") == 0
        shown = capsys.readouterr().out
        assert "one, other" in shown
        assert "broken" in shown

    def test_an_unknown_domain_names_the_nearest(self, installed, capsys):
        installed(speech=app_that(None))
        assert self.run("demo", "speach") == 2
        assert "no domain speach; the nearest is speech" in capsys.readouterr().err

    def test_stopping_one_demo_stops_the_command(self, installed, tmp_path):
        begun = []

        def app(name):
            made = new_app("")

            @made.command()
            def demo(out: str = "") -> None:
                begun.append(name)
                raise KeyboardInterrupt

            @made.command()
            def other() -> None: ...

            return made

        installed(a=app("a"), b=app("b"))
        assert self.run("demo", "--out", str(tmp_path)) == 130
        assert begun == ["a"]

    def test_bench_goes_on_past_a_domain_whose_data_is_at_fault(self, installed, tmp_path, capsys):
        begun = []

        def app(name):
            made = new_app("")

            @made.command("bench")
            def compare(data: Data, out: Out, resume: Resume = False) -> None:
                begun.append((name, data.name, resume))
                if name == "bad":
                    raise UserError("none.csv: no such file")
                if name == "broken":
                    raise typer.Exit(1)
                out.mkdir(parents=True, exist_ok=True)
                (out / "metrics.json").write_text(f'{{"domain": "{name}"}}')
                Report(f"About {name}", "").write(out / "report.html")

            @made.command()
            def other() -> None: ...

            return made

        installed(bad=app("bad"), broken=app("broken"), good=app("good"))
        arguments = ("bench", "--data", str(tmp_path / "in"), "--out", str(tmp_path))
        assert self.run(*arguments, "--resume") == 2
        told = capsys.readouterr().err
        assert told == ("error: bad: none.csv: no such file; broken: ended with status 1\n")
        assert begun == [("bad", "bad", True), ("broken", "broken", True), ("good", "good", True)]
        assert json.loads((tmp_path / "bench.json").read_text()) == [{"domain": "good"}]
        assert "About good" in (tmp_path / "bench.html").read_text()

    def test_doctor_tells_versions_and_the_losses_path(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "120")
        assert self.run("doctor") == 0
        shown = capsys.readouterr().out
        for word in ("Python", "torch", "loss path", "nearfar-kit"):
            assert word in shown

    def test_a_demo_takes_the_next_free_folder(self, tmp_path):
        (tmp_path / "demo-a").mkdir()
        (tmp_path / "demo-a-2").mkdir()
        assert _fresh(tmp_path / "demo-a").name == "demo-a-3"


def test_cuda_asked_for_where_there_is_none(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda: no CUDA device is visible"):
        launch("cuda")
