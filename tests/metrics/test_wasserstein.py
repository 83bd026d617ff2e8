"""The earth mover's family as metrics: options, units, companions and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from salzarr.errors import MetricError, RunError
from salzarr.metrics import METRICS, Block, emd, emd_l1, parse_metrics, score_block, wasserstein_values
from salzarr.schema import Reason
from salzarr.transport import pot

RNG = np.random.default_rng(11)
ALL = ("emd", "emd:grid=full", "emd:engine=pot", "emd_l1", "sliced_wasserstein")


def blobs(models=3, images=2, side=24):
    """(model, image, y, x): smooth maps with some noise, all positive."""
    y, x = np.mgrid[:side, :side] / side
    centers = RNG.uniform(0.2, 0.8, (models, images, 2, 1, 1))
    smooth = np.exp(-20 * ((x - centers[:, :, 0]) ** 2 + (y - centers[:, :, 1]) ** 2))
    return smooth + 0.02 * RNG.random(smooth.shape)


def scored(maps, spec, pairs=((0, 1), (0, 2), (1, 2))):
    [metric] = parse_metrics(spec) if isinstance(spec, str) else [spec]
    return score_block(maps, pairs, [metric])[metric.slug]


@pytest.fixture
def shifted():
    """A block, and the same moved by (15, 15)."""
    maps = np.zeros((2, 1, 70, 70))
    maps[0, 0, 5:25, 10:30] = maps[1, 0, 20:40, 25:45] = 1
    return maps


class TestWhatTheNumbersMean:
    def test_a_moved_block(self, shifted):
        by = {spec: scored(shifted, spec, [(0, 1)]).values[0, 0] for spec in (*ALL, "wasserstein_values")}
        assert by["emd_l1"] == 30.0
        assert by["wasserstein_values"] == 0.0
        assert by["emd:engine=pot"] == pytest.approx(by["emd"], rel=1e-9)
        assert by["emd"] == pytest.approx(np.sqrt(450), rel=0.02)
        assert by["emd:grid=full"] == pytest.approx(np.sqrt(450), abs=by_gap(shifted) + 1e-9)
        assert by["sliced_wasserstein"] == pytest.approx(np.sqrt(450) * 2 / np.pi, rel=0.01)

    def test_pixels_are_those_of_the_map_on_every_grid(self):
        maps = np.zeros((2, 1, 60, 40))
        maps[0, 0, 0:10, 0:10] = maps[1, 0, 40:50, 30:40] = 1
        for grid in (60, 30, 12, 6):
            assert scored(maps, emd(grid=grid), [(0, 1)]).values[0, 0] == pytest.approx(50, abs=1e-9)
            assert scored(maps, emd_l1(grid=grid), [(0, 1)]).values[0, 0] == pytest.approx(70, abs=1e-9)

    def test_cityblock_is_one_to_root_two_times_euclidean(self):
        maps = blobs(4, 3)
        pairs = [(i, j) for j in range(4) for i in range(j)]
        euclidean, cityblock = scored(maps, "emd:grid=24", pairs), scored(maps, "emd_l1", pairs)
        assert (euclidean.values <= cityblock.values + 1e-9).all()
        assert (cityblock.values <= np.sqrt(2) * euclidean.values + 1e-9).all()

    @pytest.mark.parametrize("metric", [emd, emd_l1])
    def test_both_engines_agree(self, metric):
        maps = blobs()
        for grid in (7, 16, 24):
            ours, peer = (scored(maps, metric(grid, engine=e)).values for e in ("salzarr", "pot"))
            np.testing.assert_allclose(ours, peer, rtol=1e-9, atol=1e-9)

    def test_values_equal_scipy_on_signed_maps(self):
        maps = RNG.normal(size=(2, 1, 9, 13)).astype(np.float32)
        want = wasserstein_distance(*(m.ravel().astype(float) for m in maps[:, 0]))
        assert scored(maps, wasserstein_values(), [(0, 1)]).values[0, 0] == pytest.approx(want, rel=1e-9)

    def test_blocks_hide_little_of_smooth_maps_and_much_of_grain(self):
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:224, :224]
        smooth = np.exp(-((y - [[[100]], [[120]]]) ** 2 + (x - [[[90]], [[130]]]) ** 2) / 800)
        for maps, least, most in ((smooth, 0, 0.005), (rng.random((2, 224, 224)), 0.1, 0.3)):
            blocks, full = (scored(maps[:, None], spec, [(0, 1)]).values for spec in ("emd", "emd:grid=full"))
            assert least <= abs(blocks / full - 1) <= most


def by_gap(maps):
    return scored(maps, "emd:grid=full", [(0, 1)]).companions["gap"][0, 0]


class TestCompanions:
    def test_rtol_is_certified_by_the_gap(self):
        maps = blobs(side=40)
        exact, rough = scored(maps, "emd:grid=20"), scored(maps, "emd:grid=20:rtol=0.05")
        gap = rough.companions["gap"]
        assert (gap <= 0.05 * rough.values).all()
        assert (np.abs(rough.values - exact.values) <= gap + 1e-9).all()
        assert exact.companions == {}

    def test_full_is_a_bracket_around_the_exact_distance(self):
        maps = blobs(side=64)
        full, exact = scored(maps, "emd:grid=full"), scored(maps, "emd:grid=64")
        assert (np.abs(full.values - exact.values) <= full.companions["gap"] + 1e-9).all()


class TestDegenerateMaps:
    @pytest.fixture
    def maps(self):
        maps = blobs(5, 1)
        maps[1] = 0
        maps[2, 0, 3, 3] = -0.1
        maps[3] = np.nan
        maps[4, 0, 0, 0] = np.inf
        return maps

    @pytest.mark.parametrize("spec", ALL)
    def test_have_no_score_and_a_reason(self, maps, spec):
        result = scored(maps, spec, [(0, k) for k in range(5)])
        why = [Reason.SCORED, Reason.ZERO_MASS, Reason.NEGATIVE, Reason.MISSING, Reason.NON_FINITE]
        assert result.reason[:, 0].tolist() == why
        assert result.values[0, 0] == 0.0
        assert np.isnan(result.values[1:]).all()
        for companion in result.companions.values():
            assert companion[0, 0] == 0.0
            assert np.isnan(companion[1:]).all()

    def test_values_take_all_that_is_finite(self, maps):
        result = scored(maps, "wasserstein_values", [(0, k) for k in range(5)])
        assert np.isfinite(result.values[:3]).all()
        assert np.isnan(result.values[3:]).all()


class TestOptions:
    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            ("emd:engine=lemon", "salzarr or pot"),
            ("emd:grid=0", "whole number"),
            ("emd:grid=2.5", "whole number"),
            ("emd:grid=fine", "or full, not 'fine'"),
            ("emd:rtol=1", "from 0 to below 1"),
            ("emd:rtol=much", "from 0 to below 1"),
            ("emd:rtol=0.1:grid=full", "0 unless"),
            ("emd:rtol=0.1:engine=pot", "0 unless"),
            ("emd_l1:engine=x", "emd_l1: engine"),
            ("emd_l1:rtol=0.1", "its parameters are grid, engine, normalize"),
        ],
    )
    def test_that_cannot_be_are_refused(self, spec, says):
        with pytest.raises(MetricError, match=says):
            parse_metrics(spec)

    def test_defaults(self):
        assert emd().definition == emd(grid=32).definition
        assert METRICS["emd"].unit == "pixels"
        assert METRICS["emd"].limits((4, 5)) == (0.0, 5.0)

    def test_the_docstrings_tell_the_two_apart(self):
        assert "wasserstein_values" in emd.__doc__
        assert "Not the Earth Mover's Distance" in wasserstein_values.__doc__

    def test_features_are_computed_once_for_all_pairs(self, monkeypatch):
        from salzarr.transport import cityblock

        prepared = []
        once = cityblock.prepare
        monkeypatch.setattr(cityblock, "prepare", lambda *a, **k: prepared.append(1) or once(*a, **k))
        block = Block(blobs(4, 2))
        pairs = [(i, j) for j in range(4) for i in range(j)]
        score_block(block, pairs, [emd_l1()])
        assert len(prepared) == 4 * 2


class TestPot:
    def test_a_cost_matrix_out_of_reach_is_refused(self):
        a, b = RNG.random((2, 300, 300))
        with pytest.raises(MetricError, match=r"engine=pot needs a matrix of \d+ GiB"):
            pot.distance(pot.prepare(a), pot.prepare(b))

    def test_a_warning_of_pot_is_an_error(self, monkeypatch):
        monkeypatch.setattr(pot, "MAX_ITERATIONS", 3)
        a, b = RNG.random((2, 9, 9))
        with pytest.warns(UserWarning, match="numItermax"), pytest.raises(RunError, match="POT did not find"):
            pot.distance(pot.prepare(a), pot.prepare(b))

    @pytest.mark.parametrize("bad", [-np.eye(3), np.zeros((3, 3)), np.full((3, 3), np.nan)])
    def test_what_is_no_mass_is_refused(self, bad):
        with pytest.raises(ValueError, match="non-negative"):
            pot.prepare(bad)
