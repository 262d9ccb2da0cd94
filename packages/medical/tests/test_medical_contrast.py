"""Pre-training: batches, pairs, regions, stages; each against the paper's own account."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nearfar_kit.errors import UserError
from nearfar_medical.frames import Frame, draw_parts, draw_slices
from nearfar_medical.network import GlobalHead, LocalHead, Network
from nearfar_medical.pretrain import GlobalStage, LocalStage, Stage, pretraining_stages
from nearfar_medical.regions import neighbours_of, region_corners
from nearfar_medical.settings import MedicalSettings
from nearfar_medical.strategies import STRATEGIES

SMALL = {"size": (32, 32), "widths": (4, 8, 8), "volumes": 3, "local_depth": 1,
         "global_steps": 3, "local_steps": 2, "tuned_steps": 2}  # fmt: skip


def numbered(slices: int, name: str = "a", side: int = 4) -> Frame:
    """A frame whose slice s holds the number s + 1 everywhere."""
    image = np.arange(1, slices + 1, dtype=np.float32)[None, :, None, None]
    image = np.broadcast_to(image, (1, slices, side, side)).copy()
    return Frame(name, name, image, (image[0] % 3).astype(np.uint8))


class TestDrawing:
    def test_each_part_gives_a_slice_of_its_own(self):
        generator = torch.Generator().manual_seed(0)
        seen = [set(), set(), set(), set()]
        for _ in range(60):
            x = draw_parts([numbered(11)], 4, None, generator)
            assert x.shape == (4, 1, 4, 4)
            for part in range(4):
                seen[part].add(int(x[part, 0, 0, 0]) - 1)
        # Eleven slices in four parts of two; those left over at the end are never drawn.
        assert seen == [{0, 1}, {2, 3}, {4, 5}, {6, 7}]

    def test_no_image_is_all_zero(self):
        # The released stitching left 16 of 48 images empty.
        frames = [numbered(9, name) for name in "abc"]
        for parts in (2, 3, 4, 6):
            x = draw_parts(frames, parts, None, torch.Generator().manual_seed(1))
            assert len(x) == 3 * parts
            assert (x.flatten(1).abs().sum(1) > 0).all()

    def test_patches_have_their_middle_in_the_part_and_stay_inside(self):
        x = draw_parts([numbered(12)], 3, 4, torch.Generator().manual_seed(0))
        assert x.shape == (3, 1, 4, 4, 4)
        assert (x > 0).all()
        short = draw_parts([numbered(3)], 3, 8, torch.Generator().manual_seed(0))
        assert (short[:, 0, :, 0, 0] > 0).sum(1).tolist() == [3, 3, 3]  # padded by zeros

    def test_fewer_slices_than_parts(self):
        with pytest.raises(UserError, match=r"^a: 3 slices; expected at least 4, one a part$"):
            draw_parts([numbered(3)], 4, None, torch.Generator())

    def test_slices_come_with_their_masks_and_all_have_the_same_chance(self):
        frames = [numbered(2, "a"), numbered(6, "b")]
        x, y = draw_slices(frames, 4000, None, torch.Generator().manual_seed(0))
        assert torch.equal(x[:, 0].long() % 3, y)
        share = (x[:, 0, 0, 0] > 2).float().mean()  # b's alone: 4 of 8
        assert abs(float(share) - 0.5) < 0.05


class TestStrategies:
    def pairs(self, name, volumes, parts):
        strategy = STRATEGIES[name]
        found = {tuple(p) for p in strategy.positives(volumes, parts).tolist()}
        assert len(found) == len(strategy.positives(volumes, parts))
        return found

    def test_two_augmentations_of_a_slice(self):
        n = 8
        assert self.pairs("GR", 2, 4) == {(i, i + n) for i in range(n)}
        # Every other image is a negative.
        assert STRATEGIES["GR"].place(2, 4).tolist() == [*range(8), *range(8)]

    def test_an_image_and_its_two_augmentations(self):
        n = 8
        want = {(i + a * n, i + b * n) for i in range(n) for a, b in ((0, 1), (0, 2), (1, 2))}
        assert self.pairs("GD-", 2, 4) == want
        assert STRATEGIES["GD-"].place(2, 4).tolist() == [0, 1, 2, 3] * 6

    def test_volumes_in_a_cycle(self):
        # Parts 2, volumes 3: images 0 to 5, augmented 6 to 11.
        own = {(i, i + 6) for i in range(6)}
        across = {(0, 2), (2, 4), (0, 4), (1, 3), (3, 5), (1, 5)}
        want = own | across | {(a + 6, b + 6) for a, b in across}
        assert self.pairs("GD", 3, 2) == want

    def test_two_augmentations_of_each_volume(self):
        own = {(i, i + 6) for i in range(6)} | {(i + 6, i + 12) for i in range(6)}
        across = {(0, 2), (2, 4), (0, 4), (1, 3), (3, 5), (1, 5)}
        want = own | {(a + v, b + v) for a, b in across for v in (0, 6, 12)}
        assert self.pairs("GD2", 3, 2) == want

    @pytest.mark.parametrize("name", list(STRATEGIES))
    @pytest.mark.parametrize("parts", [2, 3, 4, 6])
    def test_positives_share_a_place_whatever_the_parts(self, name, parts):
        strategy = STRATEGIES[name]
        place = strategy.place(4, parts)
        assert len(place) == 4 * parts * strategy.versions
        for a, b in self.pairs(name, 4, parts):
            assert a != b
            assert place[a] == place[b]


class TestRegions:
    def test_the_papers_thirteen(self):
        corners = {tuple(c) for c in region_corners((24, 24)).tolist()}
        outer = {(a, b) for a in (0, 10, 20) for b in (0, 10, 20)}
        assert corners == outer | {(a, b) for a in (5, 15) for b in (5, 15)}

    def test_in_three_dimensions(self):
        corners = region_corners((12, 24, 24))
        assert corners.shape == (35, 3)
        assert (corners[:, 0] <= 8).all()

    def test_neighbours_are_the_nearest_and_not_itself(self):
        corners = region_corners((24, 24))
        near = neighbours_of(corners, 5)
        assert near.shape == (13, 5)
        assert (near != torch.arange(13)[:, None]).all()
        distance = torch.cdist(corners.double(), corners.double())
        for r in range(13):
            others = [c for c in range(13) if c != r and c not in near[r].tolist()]
            assert distance[r, near[r]].max() <= distance[r, others].min()

    def test_a_map_too_small(self):
        with pytest.raises(ValueError, match="6x6 has no room"):
            region_corners((6, 6))


class TestNetwork:
    @pytest.mark.parametrize("dims", [2, 3])
    def test_levels_are_those_of_the_unet(self, dims):
        network = Network(dims, 2, 3, widths=(4, 8, 8, 16)).eval()
        x = torch.randn(2, 2, *(16,) * dims)
        maps = network.encode(x)
        assert [m.shape[-1] for m in maps] == [16, 8, 4, 4]
        assert torch.equal(network.decode(maps, 3), network.unet(x))
        for depth in (1, 2):
            level = network.decode(maps, depth)
            assert level.shape[1] == network.map_widths(depth)
            assert level.shape[-1] == 16 // 2 ** (2 - depth)

    def test_another_networks_first_blocks(self):
        torch.manual_seed(0)
        one, other = (Network(2, 1, 3, widths=(4, 8, 8, 16)) for _ in range(2))
        before = {k: v.clone() for k, v in one.state_dict().items()}
        one.take(other.state_dict(), 1)
        x = torch.randn(1, 1, 16, 16)
        one.eval(), other.eval()
        assert torch.equal(one.decode(one.encode(x), 1), other.decode(other.encode(x), 1))
        assert not torch.equal(one.decode(one.encode(x), 2), other.decode(other.encode(x), 2))
        changed = [k for k, v in one.state_dict().items() if not torch.equal(v, before[k])]
        assert 0 < len(changed) < len(before)

    @pytest.mark.parametrize("dims", [2, 3])
    def test_heads(self, dims):
        level = torch.randn(2, 8, *(12,) * dims)
        assert GlobalHead(dims, 8, cells=2)(level).shape == (2, 128)
        corners = region_corners((12,) * dims)
        head = LocalHead(dims, 8).eval()
        regions = head(level, corners)
        assert regions.shape == (2, len(corners), 128)
        # A region sees its own place alone.
        moved = level.clone()
        at = tuple(slice(0, 3) for _ in range(dims))
        moved[(slice(None), slice(None), *at)] += 1
        same = torch.isclose(head(moved, corners), regions).all(2).all(0)
        assert not same[0]
        assert same[(corners >= 3).any(1)].all()


@pytest.fixture
def frames():
    """Parts that differ, in noise: the part is told by where the bright band lies."""
    rng = np.random.default_rng(0)
    made = []
    for name in "abcdef":
        image = rng.normal(0, 0.1, (1, 16, 32, 32)).astype(np.float32)
        for s in range(16):
            image[0, s, 2 * s : 2 * s + 2] += 1
        made.append(Frame(name, name, image))
    return made


def stage_of(frames, settings, steps, number=0):
    torch.manual_seed(0)
    network = Network(settings.dims, 1, 3, widths=settings.widths)
    return Stage(pretraining_stages(network, settings)[number], frames, steps=steps, seed=0)


class TestStages:
    @pytest.mark.parametrize("strategy", list(STRATEGIES))
    def test_the_global_loss_falls(self, frames, strategy):
        # Slices of these frames are told apart by where a band lies: a crop would hide it.
        settings = MedicalSettings(**SMALL | {"global_strategy": strategy, "crop": 0.95})
        stage = stage_of(frames, settings, 60)
        losses = [stage.step() for _ in range(60)]
        assert all(math.isfinite(loss) for loss in losses)
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])

    def test_a_rate_too_high_is_told(self, frames):
        stage = stage_of(frames, MedicalSettings(**SMALL | {"learning_rate": 1e30}), 20)
        with pytest.raises(UserError, match=r"^training, step \d+: .*; expected finite numbers"):
            stage.run()

    def test_global_contrast_trains_all_of_the_encoder_and_nothing_else(self, frames):
        stage = stage_of(frames, MedicalSettings(**SMALL), 2)  # beside a local stage to come
        network = stage.raw_task.network
        before = {k: v.detach().clone() for k, v in network.named_parameters()}
        stage.run()
        encoder = {id(p) for p in network.up_to(0)}
        for name, value in network.named_parameters():
            bias = name.endswith("conv.bias")  # a normalisation after it takes it off again
            if not bias:
                assert torch.equal(value, before[name]) != (id(value) in encoder), name

    @pytest.mark.parametrize("strategy", ["LR", "LD"])
    def test_local_contrast_leaves_the_encoder_alone(self, frames, strategy):
        settings = MedicalSettings(**SMALL | {"local_strategy": strategy})
        stage = stage_of(frames, settings, 4, number=1)
        network = stage.raw_task.network
        before = {k: v.clone() for k, v in network.state_dict().items()}
        stage.run()
        down, up = network.levels()
        kept = {id(p) for block in down for p in block.state_dict(keep_vars=True).values()}
        first = {id(p) for p in up[0].parameters()}
        for name, value in network.state_dict(keep_vars=True).items():
            if id(value) in kept:
                assert torch.equal(value, before[name]), name  # running means too
            elif id(value) in first:
                assert not torch.equal(value, before[name]), name
        assert math.isfinite(stage.loss)

    def test_across_volumes_local_contrast_asks_for_more(self, frames):
        images = draw_parts(frames[:3], 4, None, torch.Generator().manual_seed(0))
        losses = []
        for strategy in ("LR", "LD"):
            torch.manual_seed(0)
            settings = MedicalSettings(**SMALL | {"local_strategy": strategy})
            task = LocalStage(Network(2, 1, 3, widths=settings.widths), settings)
            losses.append(task(images, torch.Generator().manual_seed(0)))
        assert losses[1] > losses[0]

    def test_patches(self, frames):
        settings = MedicalSettings(**SMALL | {"dims": 3, "depth": 16, "widths": (4, 8, 8)})
        for number in (0, 1):
            stage = stage_of(frames, settings, 1, number)
            assert math.isfinite(stage.step())

    @pytest.mark.parametrize("number", [0, 1])
    def test_a_resumed_stage_is_the_same(self, frames, number):
        settings = MedicalSettings(**SMALL)
        whole = stage_of(frames, settings, 4, number)
        whole.run()
        half = stage_of(frames, settings, 4, number)
        half.step(), half.step()
        other = stage_of(frames, settings, 4, number)
        other.load_state(half.state())
        other.run()
        for a, b in zip(whole.raw_task.parameters(), other.raw_task.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_no_volumes(self):
        with pytest.raises(UserError, match="no volumes"):
            stage_of([], MedicalSettings(**SMALL), 1)

    def test_a_global_stage_of_one_process_is_the_papers_loss(self, frames):
        """By loops over l(a, b), as section 3 of the paper writes it."""
        settings = MedicalSettings(**SMALL | {"global_strategy": "GD", "volumes": 2})
        task = GlobalStage(Network(2, 1, 3, widths=settings.widths), settings).double().eval()
        images = draw_parts(frames[:2], 4, None, torch.Generator().manual_seed(0)).double()
        caught = []
        task.head.register_forward_hook(lambda module, given, out: caught.append(out))
        loss = task(images, torch.Generator().manual_seed(0))
        z = torch.nn.functional.normalize(caught[0], dim=1)
        strategy = STRATEGIES["GD"]
        place = strategy.place(2, 4)
        s = z @ z.T / settings.temperature
        total = 0.0
        for a, b in strategy.positives(2, 4).tolist():
            for i, j in ((a, b), (b, a)):
                rest = sum(s[i, n].exp() for n in range(len(z)) if place[n] != place[i])
                total = total - (s[i, j].exp() / (s[i, j].exp() + rest)).log()
        assert torch.isclose(loss, total / len(z), rtol=1e-9)
