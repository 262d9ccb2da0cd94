"""Species and genome from the header of a FASTA record, also in the words of NCBI."""

from __future__ import annotations

import re

__all__ = ["species_of_header"]

_KIND = re.compile(r"^(MAG|UNVERIFIED|TPA\w*): ?")
# Two words of which the first is a genus; of an unnamed species (sp.) nothing is cut off but what
# follows its strain.
_BINOMIAL = re.compile(r"(?:Candidatus )?\[?[A-Z][a-z]+\]? (?!sp\.)[a-z][a-z-]+(?= |,|$)")
_STRAIN = re.compile(r" (str\.|strain|substr\.|subsp\.|isolate|serovar|bv\.|pv\.) ")
_PIECE = re.compile(
    r",| (chromosome|plasmid|complete|genome|genomic|DNA|whole genome)\b|"
    r" (contig|scaffold|NODE)([_\d ]|$)"
)


def species_of_header(description: str) -> tuple[str, str]:
    """Species and genome that the header after the id names; all of it, twice, where it is plain.

    Where it goes on as NCBI's do, with a strain and what piece of its genome the record is, the
    species is the genus and the word after it, and the genome ends where the piece begins.

    Example:
        >>> species_of_header("Escherichia coli str. K-12 substr. MG1655, complete genome")
        ('Escherichia coli', 'Escherichia coli str. K-12 substr. MG1655')
        >>> species_of_header("E. coli")
        ('E. coli', 'E. coli')
    """
    title = _KIND.sub("", description)
    piece = _PIECE.search(title)
    genome = title[: piece.start()] if piece else title
    found = _BINOMIAL.match(title)
    if found and (piece or _STRAIN.search(title)):
        return found[0], genome
    if piece and re.match(r"\[?[A-Z][a-z]+\]? sp\. ", title):
        return genome, genome
    return description, description
