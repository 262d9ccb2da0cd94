"""What the pages of docs/ take from elsewhere, so that nothing stands twice; a hook of mkdocs.

A page that is read as it lies in the repository has a link to each; a line of these becomes:

    [Opening of FILE](link)             what a README says before its first section
    [Section NAME of FILE](link)        a section of a README, without its heading
    [Table N of FILE](link)             the Nth part of a benchmark's table.md (see tools/results)
    [Tables of FILE](link)              all of them
    [Settings of MODULE](link)          each setting of the module: type, bounds, default, meaning
    [Commands of MODULE](link)          each verb of a domain's command line, with its options
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import runpy
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
import yaml
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from nearfar_kit.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
MARKED = re.compile(
    r"^\[(?P<what>Opening|Section|Tables?|Settings|Commands)(?: (?P<which>[^\n]+?))?"
    r" of (?P<source>\S+)\]\((?P<to>[^)#]+)[^)]*\)$",
    re.MULTILINE,
)
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s]+)\)")
PAGES = {"shared/core": "core/index.md"} | {
    f"packages/{page.stem}": f"domains/{page.name}"
    for page in (ROOT / "docs" / "domains").glob("*.md")
}

parts = runpy.run_path(str(ROOT / "tools" / "results"))["parts"]


def on_files(files: Files, config: Any) -> Files:
    """The benchmarks' pictures are files of the site, under their own paths."""
    for picture in sorted(ROOT.glob("*/*/benchmarks/results/**/*.png")):
        name = str(picture.relative_to(ROOT))
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    def taken(match: re.Match[str]) -> str:
        what, which, source = match["what"], match["which"], match["source"]
        try:
            linked = ROOT / "docs" / Path(page.file.src_uri).parent / match["to"]
            module: Any = None
            if what in ("Settings", "Commands"):
                module = importlib.import_module(source)
            if not linked.samefile(module.__file__ if module else ROOT / source):
                raise LookupError(f"the link leads to {match['to']}")
            if what == "Settings":
                return settings_table(module)
            if what == "Commands":
                return commands(module)
            text = linked.read_text(encoding="utf-8")
            if what == "Opening":
                text = text.split("\n## ", 1)[0].split("\n", 1)[1]
            elif what == "Section":
                text = section(text, which)
            elif what == "Table":
                text = parts(text)[int(which) - 1]
            return relinked(text, Path(source).parent, Path(page.file.src_uri).parent)
        except (OSError, LookupError, ImportError) as error:
            raise PluginError(f"{page.file.src_uri}: {match[0]}: {error!r}") from error

    return MARKED.sub(taken, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """``:func:`name```, which docstrings say, is code here."""
    return re.sub(r":(?:func|class|meth|mod):(?=<code>)", "", html)


def section(text: str, name: str) -> str:
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(f"no section {name!r}")
    return found[1].strip()


def relinked(text: str, folder: Path, page: Path) -> str:
    """Links that hold in the repository, made to hold in the site; what has no page is code."""

    def link(match: re.Match[str]) -> str:
        if "://" in match["to"] or match["to"].startswith("#"):
            return match[0]
        to = os.path.normpath(folder / match["to"])
        if not match["picture"]:
            if to not in PAGES:
                return match["text"] if match["text"].startswith("`") else f"`{to}`"
            to = PAGES[to]
        return f"{match['picture']}[{match['text']}]({os.path.relpath(to, page)})"

    return LINK.sub(link, text)


def settings_table(module: Any) -> str:
    told = []
    for name, cls in vars(module).items():
        if inspect.isclass(cls) and issubclass(cls, Settings) and cls.__module__ == module.__name__:
            rows = [
                f"| `{setting}` | {kind(field)} | `{as_yaml(field.default)}` "
                f"| {(field.description or '').replace('|', '&#124;')} |".replace("\n", " ")
                for setting, field in cls.model_fields.items()
            ]
            told.append(f"`{name}`: {inspect.getdoc(cls)}")
            told.append("\n".join(["| setting | type | default | |", "| --- " * 4 + "|", *rows]))
    return "\n\n".join(told)


def kind(field: Any) -> str:
    """The type and the bounds of a setting in words."""
    return f"{in_words(field.annotation)} {bounds(field)}".strip()


def bounds(field: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    return ", ".join(
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if hasattr(rule, name)
    )


def in_words(annotation: Any) -> str:
    """What a value of this type is called.

    >>> in_words(int | None), in_words(tuple[float, float]), in_words(Literal["a", True])
    ('int or null', '2 of float', '`a`, `true`')
    >>> from pydantic import Field
    >>> in_words(tuple[Annotated[int, Field(ge=1, le=8)], ...])
    'list of int ≥ 1, ≤ 8'
    """
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{as_yaml(value)}`" for value in inner)
    if get_origin(annotation) is Annotated:
        return f"{in_words(inner[0])} {bounds(inner[1])}"
    if get_origin(annotation) is tuple:
        of = in_words(inner[0])
        return f"list of {of}" if inner[-1] is Ellipsis else f"{len(inner)} of {of}"
    if inner:
        return " or ".join(map(in_words, inner))
    names = {type(None): "null", bool: "true or false", str: "text", Path: "path"}
    return names.get(annotation, annotation.__name__)


def as_yaml(value: Any) -> str:
    """A default as one would write it after ``--set key=``."""
    if isinstance(value, tuple):
        value = list(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def commands(module: Any) -> str:
    group: Any = typer.main.get_command(module.app)
    told = []
    for name, command in group.commands.items():
        rows = [
            f"| `{' '.join(option.opts)}` | {getattr(option, 'help', None) or ''} "
            f"| {given(option)} |"
            for option in command.params
        ]
        told.append(
            f"### `{name}`\n\n{inspect.cleandoc(command.help or '')}\n\n"
            + "\n".join(["| option | | default |", "| --- | --- | --- |", *rows])
        )
    return "\n\n".join(told)


def given(option: Any) -> str:
    """What an option is where it is not given."""
    if option.required:
        return "required"
    default = option.default
    nothing = default is None or default is False or default == () or callable(default)
    return "" if nothing else f"`{default}`"
