"""Encoders of DNA."""

from nearfar_dna.encoders.composition import CompositionEncoder
from nearfar_dna.encoders.encoder import Encoder, Hidden, encode
from nearfar_dna.encoders.transformer import TransformerEncoder

__all__ = ["CompositionEncoder", "Encoder", "Hidden", "TransformerEncoder", "encode"]
