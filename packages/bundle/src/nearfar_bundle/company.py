"""Who holds an item: training bundles and users, and which of them explain a bundle alone."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from nearfar_bundle.catalogue import Ints, incidence
from nearfar_bundle.features import Block, company
from nearfar_bundle.split import Split, holders, kin

__all__ = ["BUNDLES", "FEEDBACK", "company_blocks", "own_users", "same_kin"]

BUNDLES, FEEDBACK = "bundles", "feedback"


def company_blocks(split: Split) -> tuple[list[Block], dict[str, csr_matrix]]:
    """Modalities of who holds an item, and which holders say nothing of each training bundle.

    Those are its kin, the bundle itself among them, and the users who took any of them: of a bundle
    that is held out none is there, and what learns with them would trust company too much.
    """
    known = split.catalogue
    names = tuple(str(name) for name in known.bundle_names[split.train])
    blocks = [Block(BUNDLES, "company", company(split.training), names)]
    blind = {BUNDLES: same_kin(split)}
    if len(known.feedback):
        users = int(known.feedback[:, 0].max()) + 1
        feedback = incidence(known.feedback, users, len(known))
        columns = tuple(str(user) for user in range(users))
        blocks.append(Block(FEEDBACK, "company", company(feedback), columns))
        row_of = {bundle: row for row, bundle in enumerate(split.train.tolist())}
        owners = [(u, row_of[b]) for u, b in known.owners.tolist() if b in row_of]
        own = own_users(split.training, feedback, np.array(owners, np.int64).reshape(-1, 2))
        blind[FEEDBACK] = (blind[BUNDLES] @ own).tocsr()
    return blocks, blind


def same_kin(split: Split) -> csr_matrix:
    """[T, T], 1 where two training bundles are of one session or near-duplicates, or the same."""
    group = kin(split.catalogue, split.train)
    of = incidence(np.stack([np.arange(len(group)), group], 1), len(group), int(group.max()) + 1)
    return (of @ of.T).tocsr()


def own_users(bundles: csr_matrix, feedback: csr_matrix, owners: Ints) -> csr_matrix:
    """[T, U]: a bundle's owners, and users who took nearly all of its items.

    Args:
        bundles: [T, I]. feedback: [U, I]. owners: [n, 2] (user, row of ``bundles``).
    """
    inside = owners[owners[:, 0] < feedback.shape[0]]
    found = holders(bundles, feedback)
    return (found + incidence(inside[:, ::-1], *found.shape)).tocsr()
