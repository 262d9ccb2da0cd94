"""The rules of the house that a reader of one file cannot see."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
from typer.main import get_command

from nearfar_kit.settings import Settings

DOMAINS = sorted(entry_points(group="nearfar.domains").names)
ROOT = Path(__file__).parent.parent
PACKAGES = sorted(
    p.parent for folder in ("shared", "packages") for p in ROOT.glob(f"{folder}/*/src")
)


def project(package: Path) -> dict:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def sources(package: Path) -> list[Path]:
    return sorted((package / "src").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Top-level names of all modules imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_all_packages_are_seen():
    assert {p.name for p in PACKAGES} >= {"core", "kit", "har"}


def test_the_core_imports_torch_and_itself():
    allowed = {"torch", "triton", "nearfar", *sys.stdlib_module_names}
    for file in sources(ROOT / "shared" / "core"):
        assert imported(file) <= allowed, file


def test_every_package_stands_in_the_import_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    modules = {path.name for package in PACKAGES for path in (package / "src").iterdir()
               if (path / "__init__.py").exists()}  # fmt: skip
    assert set(settings["root_packages"]) == modules
    layers = [set(layer.replace("|", " ").split()) for layer in settings["contracts"][0]["layers"]]
    assert set().union(*layers) == modules
    assert layers[1:] == [{"nearfar_kit"}, {"nearfar"}]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
class TestPackage:
    def test_version_changelog_readme(self, package):
        about = project(package)
        assert "dynamic" not in about
        assert version(about["name"]) == about["version"]
        assert re.search(rf"^## {re.escape(about['version'])}\b",
                         (package / "CHANGELOG.md").read_text(), re.MULTILINE)  # fmt: skip
        assert (package / "README.md").read_text().startswith(f"# {about['name']}\n")
        assert about["license"] == "Apache-2.0"
        module = next((package / "src").iterdir())
        assert f'__version__ = "{about["version"]}"' in (module / "__init__.py").read_text()

    def test_it_asks_for_what_it_imports(self, package):
        names = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow",
                 "lightning_fabric": "lightning-fabric", "nearfar_kit": "nearfar-kit",
                 "dateutil": "python-dateutil", "Bio": "biopython"}  # fmt: skip
        about = project(package)
        extras = about.get("optional-dependencies", {}).values()
        needed = [*about["dependencies"], *itertools.chain(*extras)]
        asked = {re.split(r"[^\w-]", d)[0].lower() for d in needed}
        own = next((package / "src").iterdir()).name
        used = set().union(*map(imported, sources(package)))
        # A peer of a benchmark, which asks for an older torch: used where it is installed.
        used -= {own, "vamb", *sys.stdlib_module_names}
        assert {names.get(n, n.replace("_", "-")) for n in used} <= asked

    def test_files_are_named_after_an_idea(self, package):
        stems = {file.stem for file in sources(package)}
        assert not stems & {"utils", "util", "common", "helpers", "misc", "manager"}

    def test_files_from_strangers_are_data(self, package):
        for file in sources(package):
            text = file.read_text(encoding="utf-8")
            assert not imported(file) & {"pickle", "dill", "joblib", "shelve", "marshal"}, file
            for call in ("yaml.load(", "os.system(", "shell=True", "extractall("):
                assert call not in text, file
            for call, safe in (
                ("np.load", "allow_pickle=False"),
                ("torch.load", "weights_only=True"),
            ):
                for found in re.findall(rf"{re.escape(call)}\([^)]*\)", text):
                    assert safe in found, file


@pytest.mark.parametrize("package", [p for p in PACKAGES if p.parent.name == "packages"],
                         ids=lambda p: p.name)  # fmt: skip
def test_a_loss_is_written_in_the_core(package):
    for file in sources(package):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"logsumexp|log_softmax|logaddexp", text), file


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("packages/*/src/**/settings.py")), ids=lambda p: p.parent.name
)
def test_every_setting_says_what_it_is(file):
    module = ".".join(file.with_suffix("").parts[file.parts.index("src") + 1 :])
    for cls in vars(import_module(module)).values():
        if isinstance(cls, type) and issubclass(cls, Settings) and cls is not Settings:
            assert not [name for name, field in cls.model_fields.items() if not field.description]


def test_result_tables_are_what_the_benchmarks_left():
    done = subprocess.run([ROOT / "tools" / "results", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("demo", "--out --config --set --seed --quiet"),
        ("simulate", "--out --seed"),
        ("bench", "--data --out --profile --methods --seeds --processes --config --set --resume "
                  "--quiet"),
    ],
)  # fmt: skip
def test_one_vocabulary_of_options(domain, verb, options):
    command = get_command(entry_points(group="nearfar.domains")[domain].load()).commands[verb]
    assert {name for option in command.params for name in option.opts} >= set(options.split())
