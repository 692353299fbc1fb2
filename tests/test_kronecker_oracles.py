"""The oracles are the published recipes: they reproduce the published figures."""

import numpy as np
import pytest
from oracles import kronecker_sbl as oracle

import sparsesolve as ss
from sparsesolve import metrics
from sparsesolve.applications import channel

RECIPES = {
    "AM": (oracle.alternating, oracle.AM_SYNTHETIC, oracle.AM_IRS),
    "SVD": (oracle.singular, oracle.SVD_SYNTHETIC, oracle.SVD_IRS),
    "PC": (oracle.alternating, None, oracle.PC_IRS),
}


# The authors' own code on the same numbers: SNR in dB, seed, recipe, NMSE, support.
@pytest.mark.parametrize(
    ("snr_db", "seed", "recipe", "error", "support"),
    [
        (25, 0, "SVD", 8.792103e-5, 0.963),
        (25, 0, "AM", 4.534593e-3, 0.667),
        (25, 1, "SVD", 2.883523e-4, 0.667),
        (25, 1, "AM", 2.883669e-4, 0.667),
        (25, 2, "SVD", 1.212688e-4, 1.0),
        (25, 2, "AM", 1.230223e-4, 1.0),
        (10, 0, "SVD", 1.649083e-3, 0.889),
        (10, 0, "AM", 2.766784e-2, 0.053),
        (10, 1, "SVD", 5.740625e-3, 0.333),
    ],
)
def test_published_figures(snr_db, seed, recipe, error, support):
    m = ss.data.kronecker_sparse(seed, snr_db)
    update, settings, _ = RECIPES[recipe]
    x = oracle.run(m.factors, m.y, m.noise_variance, update, settings)
    assert metrics.relative_squared_error(x, m.x) == pytest.approx(error, rel=1e-6)
    assert metrics.support_recovery(x, m.x) == pytest.approx(support, abs=6e-4)


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_the_fast_moments_are_those_of_the_matrix(recipe):
    small = channel.IRSUplink(4, 5, 16, 6, 2, 3, 2)
    m = channel.simulate(0, 15.0, small)
    update, _, settings = RECIPES[recipe]
    x, same = (
        oracle.run(m.factors, m.y, m.noise_variance, update, settings, moments)
        for moments in (oracle.factored_moments, oracle.dense_moments)
    )
    np.testing.assert_allclose(x, same, atol=1e-6 * np.abs(x).max())
    assert np.abs(x).max() > 0


def test_coupling_reaches_the_neighbours_that_are_left():
    kept = np.array([0, 1, 3])
    wanted = [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]]
    np.testing.assert_array_equal(oracle.neighbours(kept, 0.8), wanted)


def test_exact_stationary_points_beat_the_coupled_recipe():
    """Without any coupling, on the scenes that the recipe was published for."""
    errors = []
    for seed in range(6):
        m = channel.simulate(seed, 12.0)
        x = oracle.run(
            m.factors, m.y, m.noise_variance, oracle.alternating, oracle.PC_IRS
        )
        published = ss.operators.Kronecker(*m.synthesis)(x)
        found = channel.estimate(m).channel
        errors.append(
            [
                metrics.relative_squared_error(h, m.channel, axis=0)
                for h in (found, published)
            ]
        )
    found, published = np.mean(errors, axis=0)
    assert 0.01 < published < 0.3
    assert found <= published / 2
