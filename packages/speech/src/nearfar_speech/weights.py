"""A trained model in a folder: ``model.safetensors`` and SentencePiece's ``tokenizer.model``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nearfar_kit.checkpoint import check_kinds, model_state, restored, save_checkpoint
from nearfar_kit.settings import load_settings
from nearfar_speech.continual import new_encoder, new_model
from nearfar_speech.model import SpeechModel
from nearfar_speech.settings import SpeechSettings
from nearfar_speech.tasks import Curriculum
from nearfar_speech.tokens import Tokens

__all__ = ["Trained", "load_model", "save_model"]

FORMAT = "nearfar-speech model 1"


@dataclass(frozen=True)
class Trained:
    """A model with all that is needed to use it."""

    model: SpeechModel
    tokens: Tokens
    settings: SpeechSettings
    curriculum: Curriculum


def save_model(folder: Path | str, trained: Trained) -> None:
    """Writes both files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    trained.tokens.save(folder / "tokenizer.model")
    save_checkpoint(
        folder / "model.safetensors",
        {
            "format": FORMAT,
            "weights": dict(trained.model.state_dict()),
            "vocabulary": trained.model.vocabulary,
            "settings": trained.settings.model_dump(mode="json"),
            "by": trained.curriculum.by,
            "tasks": [list(names) for names in trained.curriculum.tasks],
        },
    )


def load_model(path: Path | str) -> Trained:
    """What :func:`save_model` wrote, from its folder or from the run's.

    Raises:
        UserError: a file is missing, damaged or of another kind, or the tokenizer has another size
            than the model was made for.
    """
    path = Path(path)
    folder = path / "checkpoint" if (path / "checkpoint").is_dir() else path
    file = folder / "model.safetensors"
    with model_state(file, FORMAT) as kept:
        check_kinds(kept, weights=dict, vocabulary=int, settings=dict, by=str, tasks=list)
        tokens = Tokens.load(folder / "tokenizer.model", size=kept["vocabulary"])
        settings = load_settings(SpeechSettings, base=kept["settings"], where=file)
        curriculum = Curriculum(kept["by"], tuple(tuple(names) for names in kept["tasks"]))
        if settings.layers > len(kept["weights"]):  # each has some
            raise ValueError(f"{settings.layers} layers of {len(kept['weights'])} weights")
        encoder = new_encoder(settings)  # its size is its own, whatever the file claims
        model = restored(
            lambda: new_model(settings, kept["vocabulary"], encoder=encoder), kept["weights"]
        )
    return Trained(model.eval(), tokens, settings, curriculum)
