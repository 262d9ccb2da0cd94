"""The builder that ``train`` leaves: items, what is known of them, and a model of bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from nearfar_bundle.batches import padded, queries_of
from nearfar_bundle.catalogue import Floats
from nearfar_bundle.description import Description
from nearfar_bundle.evidence import Items
from nearfar_bundle.features import Block, Kind
from nearfar_bundle.model import Features, Model
from nearfar_bundle.ranking import Scores
from nearfar_bundle.ridge import ridge_scores
from nearfar_bundle.sentences import told_by_sentences
from nearfar_bundle.settings import BundleSettings
from nearfar_kit.arrays import names_array
from nearfar_kit.checkpoint import check_kinds, model_state, restored, save_checkpoint
from nearfar_kit.errors import UserError
from nearfar_kit.settings import load_settings

__all__ = ["Builder"]

FORMAT = "nearfar-bundle model 1"


@dataclass
class Builder:
    """Scores items for partial bundles; a :class:`nearfar_bundle.evaluate.Scorer`.

    Attributes:
        items: [I] names.
        blocks: modalities, the content's before the company's.
        labels, prices: of the items, for limits and budgets.
        history: measures of each validation.
        seed: of the training, and of its split.
    """

    settings: BundleSettings
    items: NDArray[np.str_]
    description: Description
    blocks: list[Block]
    features: Features
    model: Model
    labels: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    prices: NDArray[np.float64] | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    seed: int = 0

    @property
    def size(self) -> int:
        return len(self.items)

    @torch.no_grad()
    def scores(self, shown: csr_matrix) -> Scores:
        """Partial bundles [Q, I] -> a slice of items -> [Q, n]."""
        self.model.eval()
        evidence, freed, weight = self.model.evidence, None, 0.0
        device = self.model.device
        queries = []
        if evidence is not None:
            queries = [query.to(device) for query in queries_of(shown, self.blocks)]
        if evidence is not None and evidence.ridge[0] > 0:
            weight, penalty = evidence.ridge.tolist()
            freed = ridge_scores(self.blocks, shown, penalty)
        state = self._state(shown) if self.model.items is not None else None

        @torch.no_grad()
        def part(own: slice) -> Tensor:
            found = torch.zeros(shown.shape[0], own.stop - own.start, device=device)
            if evidence is not None:
                found = evidence(queries, Items(self.blocks, own, device))
            if freed is not None:
                found = found + weight * torch.as_tensor(freed(own)).to(device)
            if state is not None:
                numbers = torch.arange(own.start, own.stop, device=device)
                found = found + state @ self.model.targets(self.features, numbers).T
            return found.cpu()

        return part

    def _state(self, shown: csr_matrix) -> Tensor:
        """[Q, width], the partial bundles' vectors."""
        items, present = padded(shown, self.model.device)
        numbers, place = torch.unique(items, return_inverse=True)
        return self.model.bundle(self.model.encoded(self.features, numbers)[place], present)

    def with_items(
        self,
        items: Sequence[str],
        texts: Mapping[str, Sequence[str]] = {},
        labels: Mapping[str, Sequence[tuple[str, ...]]] = {},
        vectors: Mapping[str, Floats] = {},
        prices: NDArray[np.float64] | None = None,
    ) -> Builder:
        """This builder with items that came after training; whatever is not given is missing.

        Raises:
            UserError: an item is known already, or comes twice; vectors have another width.
        """
        known = {str(name) for name in self.items}
        for name in items:
            if name in known:
                raise UserError(f"new item {name!r} is in the catalogue already, or comes twice")
            known.add(name)
        n = len(items)
        if self.settings.sentences:
            vectors = dict(vectors) | told_by_sentences(texts, self.settings.sentences)
        fresh = {b.name: b for b in self.description.blocks(texts, labels, vectors, n)}
        blocks = []
        for block in self.blocks:
            empty = csr_matrix((n, block.rows.shape[1]), dtype=np.float32)
            rows = fresh[block.name].rows if block.name in fresh else empty
            both = vstack([block.rows, rows]).tocsr()
            blocks.append(Block(block.name, block.kind, both, block.columns))
        dense, present = [], []
        names = [*fresh][: self.features.content]
        for k, own in enumerate(self.features.dense):
            more = torch.zeros(n, own.shape[1])
            there = torch.zeros(n, dtype=torch.bool)
            if k < len(names):
                more = self.description.dense(fresh[names[k]])
                there = torch.from_numpy(fresh[names[k]].present)
            dense.append(torch.cat([own, more]))
            present.append(torch.cat([self.features.present[k], there]))
        degrees = torch.cat([self.features.degrees, torch.zeros(n, dtype=torch.int64)])
        features = Features(dense, present, self.features.content, degrees)
        paid = None
        if self.prices is not None or prices is not None:
            old = self.prices if self.prices is not None else np.full(self.size, np.nan)
            paid = np.concatenate([old, prices if prices is not None else np.full(n, np.nan)])
        return Builder(
            self.settings,
            names_array([*self.items.tolist(), *items], "new items"),
            self.description,
            blocks,
            features,
            _model_over(self.model, features, blocks),
            {m: [*old, *labels.get(m, [()] * n)] for m, old in self.labels.items()},
            paid,
            self.history,
            self.seed,
        )

    def save(self, path: Path) -> None:
        save_checkpoint(
            path,
            {
                "format": FORMAT,
                "settings": self.settings.model_dump(mode="json"),
                "items": [str(name) for name in self.items],
                "description": self.description.state(),
                "blocks": [_block_state(block) for block in self.blocks],
                "dense": self.features.dense,
                "present": self.features.present,
                "content": self.features.content,
                "degrees": self.features.degrees,
                "model": dict(self.model.state_dict()),
                "labels": {m: [list(own) for own in of] for m, of in self.labels.items()},
                "prices": None if self.prices is None else torch.tensor(self.prices),
                "history": self.history,
                "seed": self.seed,
            },
        )

    @classmethod
    def load(cls, path: Path) -> Builder:
        """What :meth:`save` wrote.

        Raises:
            UserError: there is none, or it does not hold together.
        """
        with model_state(path, FORMAT) as state:
            check_kinds(
                state, settings=dict, items=list, description=dict, blocks=list, dense=list,
                present=list, content=int, degrees=Tensor, model=dict, labels=dict,
                prices=(Tensor, type(None)), history=list, seed=int,
            )  # fmt: skip
            settings = load_settings(BundleSettings, base=state["settings"], where=path)
            blocks = [_block_from(own) for own in state["blocks"]]
            features = Features(
                state["dense"], state["present"], state["content"], state["degrees"]
            )
            prices = state["prices"]
            model = restored(lambda: Model(settings, features, blocks), state["model"])
            found = cls(
                settings, names_array(state["items"], path),
                Description.from_state(state["description"]), blocks, features, model.eval(),
                {m: [tuple(own) for own in of] for m, of in state["labels"].items()},
                None if prices is None else prices.numpy(), state["history"], state["seed"],
            )  # fmt: skip
            _check(found)
        return found


def _check(builder: Builder) -> None:
    """Raises ValueError where parts of a builder are not of one catalogue."""
    items, told, features = builder.size, builder.description, builder.features
    widths = {name: len(own.words) for name, own in told.texts.items()}
    widths |= {name: len(own.names) for name, own in told.labels.items()}
    content = [*widths, *told.widths]
    planes = {name: len(plane) for name, plane in told.planes.items()}
    weights = {name: len(own.weights) for name, own in told.texts.items()}
    weights |= {name: len(own.weights) for name, own in told.labels.items()}
    per_item = [
        *(len(own) for own in (features.degrees, *features.dense, *features.present)),
        *(block.rows.shape[0] for block in builder.blocks),
        *(len(own) for own in builder.labels.values()),
        items if builder.prices is None else len(builder.prices),
    ]
    in_order = [block.name for block in builder.blocks][: len(content)]
    encoded = [
        told.planes[name].shape[1] if name in planes else told.widths[name] for name in content
    ]
    fits = {
        "seed": builder.seed >= 0,
        "items": len(set(builder.items.tolist())) == items and set(per_item) == {items},
        "description": planes == weights == widths and in_order == content,
        "blocks": [b.rows.shape[1] for b in builder.blocks][: len(content)]
        == [*widths.values(), *told.widths.values()],
        "content": features.content == len(content)
        and len(features.dense) == len(features.present)
        and features.widths[: len(content)] == encoded,
        "labels": all(
            isinstance(label, str) for of in builder.labels.values() for own in of for label in own
        ),
    }
    for what, fit in fits.items():
        if not fit:
            raise ValueError(f"{what} of another catalogue")


def _model_over(model: Model, features: Features, blocks: list[Block]) -> Model:
    """The same weights over more items; ids of new ones are never known."""
    from copy import deepcopy

    fresh = deepcopy(model)
    if fresh.evidence is not None:
        fresh.evidence.with_items(blocks, features.degrees)
    return fresh


def _block_state(block: Block) -> dict[str, Any]:
    rows = block.rows
    return {
        "name": block.name, "kind": block.kind, "columns": list(block.columns),
        "shape": list(rows.shape), "indptr": torch.from_numpy(rows.indptr.astype(np.int64)),
        "indices": torch.from_numpy(rows.indices.astype(np.int64)),
        "data": torch.from_numpy(rows.data.astype(np.float32)),
    }  # fmt: skip


def _block_from(state: dict[str, Any]) -> Block:
    check_kinds(
        state, name=str, kind=str, columns=list, shape=list, indptr=Tensor, indices=Tensor,
        data=Tensor,
    )  # fmt: skip
    rows = csr_matrix(
        (state["data"].numpy(), state["indices"].numpy(), state["indptr"].numpy()),
        shape=tuple(state["shape"]),
    )
    rows.check_format(full_check=True)  # scipy multiplies by whatever index there is
    named = len(state["columns"]) in (0, rows.shape[1])
    if state["kind"] not in get_args(Kind) or rows.dtype != np.float32 or not named:
        raise ValueError(f"block {state['name']} is none")
    return Block(state["name"], state["kind"], rows, tuple(state["columns"]))
