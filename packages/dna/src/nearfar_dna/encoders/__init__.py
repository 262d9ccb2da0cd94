"""Encoders of DNA."""

from nearfar_dna.encoders.composition import CompositionEncoder
from nearfar_dna.encoders.dnabert import DnabertEncoder
from nearfar_dna.encoders.encoder import Encoder, Hidden, encode
from nearfar_dna.encoders.tokens import TokenEncoder
from nearfar_dna.encoders.transformer import TransformerEncoder

__all__ = [
    "CompositionEncoder",
    "DnabertEncoder",
    "Encoder",
    "Hidden",
    "TokenEncoder",
    "TransformerEncoder",
    "encode",
]
