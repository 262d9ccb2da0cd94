"""torchaudio is mended where it has to be, and only there."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest


def run(code, *before):
    """Runs Python code in a process of its own, after a stand-in torchaudio's files."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*before, textwrap.dedent(code)])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stand_in(folder, extension):
    package = folder / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("from . import _extension, parts\nwhole = True\n")
    (package / "_extension.py").write_text(extension)
    (package / "parts.py").write_text(
        "from torchaudio._extension import _IS_ALIGN_AVAILABLE, fail_if_no_align\n"
        "@fail_if_no_align\n"
        "def forced_align(): return 'aligned'\n"
    )
    return f"import sys; sys.path.insert(0, {str(folder)!r})"


@pytest.mark.parametrize(
    "module", ["", ".settings", ".readers", ".targets", ".tokens", ".measures"]
)
def test_importing_the_package_imports_neither_torchaudio_nor_speechbrain(module):
    code = f"""
        import sys, nearfar_speech{module}
        print([n for n in ("torchaudio", "speechbrain", "torch") if n in sys.modules])
    """
    assert run(code).strip() == "[]"


def test_nothing_changes_where_torchaudio_loads(tmp_path):
    fine = "_IS_ALIGN_AVAILABLE = True\nfail_if_no_align = lambda f: f\n"
    code = """
        import torchaudio
        before = {n: id(m) for n, m in sys.modules.items() if n.startswith("torchaudio")}
        from nearfar_speech import ensure_torchaudio
        ensure_torchaudio()
        after = {n: id(m) for n, m in sys.modules.items() if n.startswith("torchaudio")}
        print(before == after, torchaudio.parts.forced_align())
    """
    assert run(code, stand_in(tmp_path, fine)).strip() == "True aligned"


def test_an_extension_that_cannot_load_is_left_out(tmp_path):
    code = """
        from nearfar_speech import ensure_torchaudio
        ensure_torchaudio()
        ensure_torchaudio()  # a second call finds it working
        import torchaudio
        print(torchaudio.whole, torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE)
        try:
            torchaudio.parts.forced_align()
        except RuntimeError as error:
            print(error)
    """
    broken = "raise OSError('libc10_cuda.so: cannot open shared object file')\n"
    first, second = run(code, stand_in(tmp_path, broken)).splitlines()
    assert first == "True False"
    assert second == "forced_align needs torchaudio's compiled extension"


def test_what_was_imported_before_the_failure_is_imported_anew(tmp_path):
    before = stand_in(tmp_path, "raise OSError('libc10_cuda.so: cannot open shared object file')\n")
    package = tmp_path / "torchaudio"
    (package / "early.py").write_text("here = True\n")
    (package / "__init__.py").write_text("from . import early as _\nfrom . import _extension\n")
    code = """
        from nearfar_speech import ensure_torchaudio
        ensure_torchaudio()
        import torchaudio
        print(torchaudio.early.here)  # a module left over would not be its parent's attribute
    """
    assert run(code, before).strip() == "True"


def test_an_import_that_fails_otherwise_leaves_no_half_module(tmp_path):
    before = stand_in(tmp_path, "raise OSError('no such library')\n")
    (tmp_path / "torchaudio" / "parts.py").write_text("raise OSError('still broken')\n")
    code = """
        from nearfar_speech import ensure_torchaudio
        try:
            ensure_torchaudio()
        except OSError as error:
            print(error, [n for n in sys.modules if n.startswith("torchaudio")])
    """
    assert run(code, before).strip() == "still broken []"


def test_every_module_can_be_asked_for_its_file_and_old_names_go_on():
    code = """
        import sys, nearfar_speech.harness
        for module in list(sys.modules.values()):
            getattr(module, "__file__", None)
        print("speechbrain.pretrained" in sys.modules)
        print(sys.modules["speechbrain.pretrained"].lazy_module)  # asked, and not imported
        import speechbrain.pretrained
        print(speechbrain.pretrained.EncoderClassifier.__name__)
    """
    assert run(code).split() == ["True", "None", "EncoderClassifier"]


def test_the_real_ones_import():
    code = """
        from nearfar_speech.harness import accumulatable_wer_stats
        import torch, torchaudio, speechbrain
        wave = torchaudio.functional.resample(torch.ones(800), 8000, 16000)
        print(len(wave), torchaudio.transforms.MFCC()(torch.randn(16000)).shape[0])
    """
    assert run(code).split() == ["1600", "40"]
