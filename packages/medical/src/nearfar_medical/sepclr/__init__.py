"""SepCLR: what two populations share, apart from what one of them has alone.

Louiset et al., ICLR 2024 (arXiv 2402.11928). Background (healthy) and target (patients) images; a
common space holds what both have, a salient space what only targets have.
"""
