"""Channel estimation: physics of the scene, estimates, error bars, coloured noise."""

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.applications import channel
from sparsesolve.applications.channel_report import estimate_into
from sparsesolve.kronecker_measurement import KroneckerMeasurement

SMALL = channel.IRSUplink(
    n_mobile=3, n_base=4, n_irs=32, n_atoms=5, n_pilots=2, n_patterns=4, n_adjacent=2
)


def normal(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def kron(matrices):
    return reduce(np.kron, matrices)


def pilots_of(measurement):
    """Recover the pilots from the two matrices that differ by them only."""
    return (measurement.factors[1] @ np.linalg.pinv(measurement.synthesis[1])).T


def clean_data(measurement):
    return np.einsum("mt,km...->kt...", pilots_of(measurement), measurement.channel)


@pytest.fixture(scope="module")
def measurement():
    return channel.simulate(3, 20.0)


@pytest.fixture(scope="module")
def found(measurement):
    return channel.estimate(measurement)


# The scene


def test_steering_vectors_delay_each_antenna_by_the_same_phase():
    cosines = [-1.0, 0.3, 0.9]
    a = channel.steering_matrix(7, cosines, spacing=0.4)
    for k, c in enumerate(cosines):
        for n in range(7):
            wanted = np.exp(2j * np.pi * 0.4 * n * c) / np.sqrt(7)
            assert a[n, k] == pytest.approx(wanted)


def test_the_grid_of_cosines_is_orthogonal_where_it_has_as_many_as_antennas():
    a = channel.steering_matrix(18, channel.cosine_grid(18))
    np.testing.assert_allclose(a.conj().T @ a, np.eye(18), atol=1e-12)


def test_a_cascade_has_each_difference_of_directions_once():
    a = channel.steering_matrix(20, channel.cosine_grid(6))
    cascade = channel.cascaded_steering(a, a)
    assert cascade.shape == (20, 6)
    np.testing.assert_array_equal(cascade, a[:, :1] * a.conj())
    for p in range(6):
        for q in range(6):
            pair = a[:, p] * a[:, q].conj()
            share = np.abs(cascade.conj().T @ pair) / np.linalg.norm(pair) ** 2
            assert share.max() == pytest.approx(1)
    uneven = channel.steering_matrix(20, [-0.8, 0.1, 0.55])
    assert channel.cascaded_steering(uneven, uneven).shape == (20, 7)


def test_factors_are_the_physics_of_a_reflecting_surface(rng):
    """Against matrices of the two hops, with the surface's pattern between them."""
    grid = channel.cosine_grid(4)
    mobile, surface, base = (channel.steering_matrix(n, grid) for n in (3, 9, 5))
    pilots, patterns = normal(rng, 3, 2), normal(rng, 9, 6)
    cascade = channel.cascaded_steering(surface, surface)
    factors, synthesis = channel.irs_factors(mobile, cascade, base, pilots, patterns)
    p, q, m, b = 3, 1, 2, 0
    first_hop = np.outer(surface[:, p], mobile[:, m].conj())
    second_hop = np.outer(base[:, b], surface[:, q].conj())
    pair = surface[:, p] * surface[:, q].conj()
    i = int(np.argmax(np.abs(cascade.conj().T @ pair)))
    x = np.zeros((4, 4, 4), complex)
    x[i, m, b] = pair[0] / cascade[0, i]
    truth = np.stack([(second_hop * w) @ first_hop for w in patterns.T])  # (k, b, m)
    h = ss.operators.Kronecker(*synthesis)(x)
    np.testing.assert_allclose(h, np.swapaxes(truth, 1, 2), atol=1e-12)
    y = ss.operators.Kronecker(*factors)(x)
    np.testing.assert_allclose(y, np.swapaxes(truth @ pilots, 1, 2), atol=1e-12)


def test_a_scene_has_the_published_sizes_and_structure(measurement):
    m = measurement
    assert [a.shape for a in m.factors] == [(6, 18), (3, 18), (16, 18)]
    assert [a.shape for a in m.synthesis] == [(6, 18), (6, 18), (16, 18)]
    assert m.y.shape == (6, 3, 16)
    assert m.channel.shape == (6, 6, 16)
    np.testing.assert_allclose(np.abs(pilots_of(m)), 1)
    i, j, k = (np.unique(axis) for axis in np.nonzero(m.x))
    assert np.count_nonzero(m.x) == 9
    assert (len(i), len(j), len(k)) == (3, 1, 3)
    assert np.ptp(k) == 2
    assert min(np.ptp((i + shift) % 18) for shift in range(18)) == 2
    block = m.x[np.ix_(i, j, k)][:, 0]
    assert np.linalg.matrix_rank(block) == 1


def test_data_are_the_dictionary_times_x_plus_noise():
    m = channel.simulate(5, 200.0)
    np.testing.assert_allclose(m.operator(m.x), m.y, atol=1e-9 * np.abs(m.y).max())
    h = ss.operators.Kronecker(*m.synthesis)(m.x)
    np.testing.assert_allclose(h, m.channel, atol=1e-12 * np.abs(h).max())


@pytest.mark.parametrize("off_grid", [False, True])
@pytest.mark.parametrize("snapshots", [None, 3])
def test_the_channel_explains_the_data_up_to_noise_of_the_stated_variance(
    off_grid, snapshots
):
    errors, stated = [], []
    for seed in range(30):
        m = channel.simulate(seed, 5.0, off_grid=off_grid, snapshots=snapshots)
        clean = clean_data(m)
        power = np.mean(np.abs(clean) ** 2)
        assert m.noise_variance == pytest.approx(power / 10**0.5)
        errors.append((m.y - clean) / np.sqrt(m.noise_variance))
        stated.append(m.y.shape == (6, 3, 16, *([] if snapshots is None else [3])))
    assert all(stated)
    noise = np.array(errors)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1, abs=0.05)
    assert abs(np.mean(noise**2)) < 0.05  # circular


def test_equal_seeds_give_one_scene_whose_noise_is_only_scaled():
    a, b = channel.simulate(7, 0.0), channel.simulate(np.random.default_rng(7), 30.0)
    np.testing.assert_array_equal(a.x, b.x)
    scaled = [(m.y - m.operator(m.x)) / np.sqrt(m.noise_variance) for m in (a, b)]
    np.testing.assert_allclose(*scaled, atol=1e-9)
    assert not np.array_equal(a.x, channel.simulate(8, 0.0).x)


def test_snapshots_share_their_directions_but_not_their_gains():
    m = channel.simulate(1, 10.0, snapshots=4)
    assert m.x.shape == (18, 18, 18, 4)
    used = m.x != 0
    assert (used.sum(axis=-1) % 4 == 0).all()
    assert used[..., 0].sum() == 9
    assert np.linalg.matrix_rank(m.x[used].reshape(9, 4)) == 4


def test_off_the_grid_no_few_atoms_make_the_channel():
    m = channel.simulate(0, 20.0, off_grid=True)
    assert m.x is None
    a = m.synthesis[2]  # 16 antennas see single directions of 18
    power = np.linalg.norm(a.conj().T @ m.channel.reshape(-1, 16).T, axis=1) ** 2
    on = channel.simulate(0, 20.0)
    sharp = np.linalg.norm(a.conj().T @ on.channel.reshape(-1, 16).T, axis=1) ** 2
    assert np.sort(power)[-3:].sum() / power.sum() < 0.97
    assert np.linalg.matrix_rank(m.channel.reshape(36, 16), tol=1e-9) == 1
    assert np.linalg.matrix_rank(on.channel.reshape(36, 16), tol=1e-9) == 1
    assert sharp.max() > 0


def test_another_geometry():
    m = channel.simulate(0, 10.0, SMALL)
    assert (m.y.shape, m.x.shape, m.channel.shape) == ((4, 2, 4), (5, 5, 5), (4, 3, 4))
    assert np.count_nonzero(m.x) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rng": None}, "rng is None"),
        ({"rng": True}, "rng is True"),
        ({"rng": -1}, "rng is -1"),
        ({"snr_db": float("nan")}, "snr_db is nan"),
        ({"snr_db": float("inf")}, "snr_db is inf"),
        ({"snr_db": 4000.0}, "snr_db is 4000"),
        ({"snr_db": "loud"}, "snr_db is 'loud'"),
        ({"geometry": "ULA"}, "geometry is 'ULA'"),
        ({"snapshots": 0}, "snapshots is 0"),
    ],
)
def test_bad_arguments_of_simulate(change, message):
    arguments = {"rng": 0, "snr_db": 10.0, **change}
    with pytest.raises((ValueError, TypeError), match=message):
        channel.simulate(**arguments)


@pytest.mark.parametrize("name", list(channel.IRSUplink.__dataclass_fields__))
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_bad_geometries(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        channel.IRSUplink(**{name: value})


def test_a_cluster_fits_its_grid():
    with pytest.raises(ValueError, match="n_adjacent is 4; wanted at most n_atoms, 3"):
        channel.IRSUplink(n_atoms=3, n_adjacent=4)
    whole = channel.IRSUplink(n_atoms=3, n_adjacent=3)
    for off_grid in (False, True):
        assert channel.simulate(0, 9.0, whole, off_grid=off_grid).y.shape == (6, 3, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: channel.steering_matrix(0, [0.0]), "n_antennas is 0"),
        (lambda: channel.steering_matrix(4, [0.0, 1.5]), "magnitudes up to 1.5"),
        (lambda: channel.steering_matrix(4, 0.5), "wanted one axis"),
        (lambda: channel.steering_matrix(4, []), "cosines is empty"),
        (lambda: channel.steering_matrix(4, [np.nan]), "cosines has 1 NaN"),
        (lambda: channel.steering_matrix(4, [1j]), "wanted real numbers"),
        (lambda: channel.steering_matrix(4, [0.0], spacing=0), "spacing is 0"),
        (lambda: channel.cosine_grid(0), "n_atoms is 0"),
    ],
)
def test_bad_steering(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mobile": np.ones(3)}, r"mobile has shape \(3,\); wanted a matrix"),
        ({"base": np.ones((5, 0))}, "base is empty"),
        ({"patterns": np.full((9, 6), np.nan)}, "patterns has 54 NaN"),
        ({"pilots": np.ones((2, 3))}, "pilots has 2 rows and mobile 3.*swapped"),
        ({"patterns": np.ones((8, 6))}, "patterns has 8 rows and cascade 9"),
    ],
)
def test_bad_factors(change, message):
    arguments = {
        "mobile": np.ones((3, 4)),
        "cascade": np.ones((9, 4)),
        "base": np.ones((5, 4)),
        "pilots": np.ones((3, 2)),
        "patterns": np.ones((9, 6)),
    }
    with pytest.raises(ValueError, match=message):
        channel.irs_factors(**(arguments | change))


def test_bad_cascades():
    with pytest.raises(ValueError, match="departure has 3 rows and arrival 4"):
        channel.cascaded_steering(np.ones((4, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="a pair whose product is zero"):
        channel.cascaded_steering(np.eye(2), np.eye(2))


def test_single_precision_is_kept(measurement):
    a = np.ones((3, 4), np.complex64)
    factors, synthesis = channel.irs_factors(a, a, a, a[:, :2], a[:, :2])
    assert {m.dtype for m in (*factors, *synthesis)} == {np.dtype(np.complex64)}


# Estimates


def test_the_estimate_is_near_the_best_that_the_true_support_allows(measurement, found):
    m = measurement
    H = kron(m.factors)[:, m.x.ravel() != 0]
    best = np.zeros(m.x.size, complex)
    best[m.x.ravel() != 0] = np.linalg.lstsq(H, m.y.ravel())[0]
    oracle = ss.operators.Kronecker(*m.synthesis)(best.reshape(m.x.shape))
    floor = channel.relative_squared_error(oracle, m.channel)
    assert found.nmse < 3 * floor
    assert channel.support_recovery(found.x, m.x) > 0.5
    np.testing.assert_allclose(
        found.channel, ss.operators.Kronecker(*m.synthesis)(found.x)
    )
    assert found.nmse == channel.relative_squared_error(found.channel, m.channel)
    assert found.posterior is found.solution.posterior
    assert f"NMSE {found.nmse:.3g}" in repr(found)


def dense_variance(measurement, g):
    """Return the diagonal of B Σ Bᴴ by the matrices that are never to be formed."""
    H, B, g = kron(measurement.factors), kron(measurement.synthesis), g.ravel()
    S = measurement.noise_variance * np.eye(len(H)) + (H * g) @ H.conj().T
    covariance = np.diag(g) - (g[:, None] * H.conj().T) @ np.linalg.solve(S, H * g)
    return np.einsum("ij,jk,ik->i", B, covariance, B.conj()).real


@pytest.mark.parametrize("snapshots", [None, 3])
def test_the_variance_of_the_channel_is_that_of_the_dense_posterior(snapshots):
    m = channel.simulate(2, 10.0, SMALL, snapshots=snapshots)
    found = channel.estimate(m)
    g = found.posterior.prior.variance(found.posterior.hyper).full()
    g = np.broadcast_to(g, m.x.shape).reshape(125, -1)
    assert found.channel_variance.shape == m.channel.shape
    variances = found.channel_variance.reshape(48, -1)
    for variance, column in zip(variances.T, g.T, strict=True):
        wanted = dense_variance(m, column)
        np.testing.assert_allclose(variance, wanted, rtol=1e-7, atol=1e-9 * max(wanted))


def test_drawn_variances_agree_with_the_dense_posterior():
    m = channel.simulate(2, 10.0, SMALL)
    found = channel.estimate(m, ss.priors.SBL())
    wanted = dense_variance(m, found.posterior.prior.variance(found.posterior.hyper))
    ratio = found.channel_variance.ravel() / wanted
    assert np.abs(ratio - 1).max() < 0.3
    assert np.mean(ratio) == pytest.approx(1, abs=0.1)


def test_intervals_of_the_channel_hold_it():
    """Conditional on learned variances they are a little short; not by much."""
    parts = {"real": np.real, "imag": np.imag, "abs": np.abs}
    inside = {of: [] for of in parts}
    for seed in range(5):
        found = channel.estimate(channel.simulate(seed, 20.0))
        for of, part in parts.items():
            low, high = found.channel_interval(0.9, of)
            truth = part(found.measurement.channel)
            inside[of].append(np.mean((low <= truth) & (truth <= high)))
    for shares in inside.values():
        assert 0.75 < np.mean(shares) < 0.97
    default, magnitude = found.channel_interval(0.9), found.channel_interval(0.9, "abs")
    np.testing.assert_array_equal(default, magnitude)


def test_snapshots_share_what_they_learn():
    m = channel.simulate(4, 15.0, SMALL, snapshots=5)
    found = channel.estimate(m)
    assert found.x.shape == (5, 5, 5, 5)
    assert found.channel.shape == m.channel.shape
    assert found.channel_variance.shape == m.channel.shape
    used = found.x != 0
    assert (used == used[..., :1]).all()
    assert found.nmse < 0.05


def test_noise_is_learned_where_none_is_known(measurement, found):
    blind = channel.estimate(replace(measurement, noise_variance=None))
    learned = float(blind.posterior.noise_variance)
    assert learned == pytest.approx(measurement.noise_variance, rel=0.3)
    assert blind.nmse < 3 * found.nmse
    told = channel.estimate(
        replace(measurement, noise_variance=None),
        noise_variance=measurement.noise_variance,
    )
    np.testing.assert_array_equal(told.x, found.x)


def test_missing_pilots():
    m = channel.simulate(1, 20.0, SMALL)
    mask = np.random.default_rng(0).random(m.y.shape) < 0.8
    holes = replace(m, y=np.where(mask, m.y, np.nan), mask=mask)
    found = channel.estimate(holes)
    assert found.nmse < 0.05
    low, high = found.channel_interval(0.9)
    assert low.shape == high.shape == m.channel.shape
    assert (low < high).all()
    assert found.channel_variance.mean() > channel.estimate(m).channel_variance.mean()


def test_single_precision_stays_single():
    m = channel.simulate(1, 20.0, SMALL)
    single = (
        [np.complex64(a) for a in m.factors],
        [np.complex64(a) for a in m.synthesis],
    )
    low = KroneckerMeasurement(
        single[0], np.complex64(m.y), m.noise_variance, synthesis=single[1]
    )
    found, double = channel.estimate(low), channel.estimate(m)
    assert found.channel.dtype == np.complex64
    assert found.channel_variance.dtype == np.float32
    error = channel.relative_squared_error(found.channel, double.channel)
    assert error < 1e-4
    assert channel.whiten(low, [np.eye(n, dtype="f4") for n in m.y.shape]).y.dtype == (
        np.complex64
    )


def test_off_grid_channels_are_estimated_too():
    m = channel.simulate(1, 20.0, off_grid=True)
    found = channel.estimate(m, max_iter=20)
    assert found.nmse < 0.05
    assert found.measurement is m


def test_real_data_without_a_channel():
    m = ss.data.kronecker_sparse(0)
    found = channel.estimate(m)
    assert found.channel is None
    assert found.nmse == channel.relative_squared_error(found.x, m.x) < 1e-3
    assert channel.estimate(replace(m, x=None), max_iter=2).nmse is None
    with pytest.raises(TypeError, match="no synthesis"):
        found.channel_interval()


def test_parts_of_a_complex_channel_of_real_gains_have_no_common_interval():
    factors = list(np.random.default_rng(0).standard_normal((2, 3, 4)))
    y = factors[0] @ np.diag([0, 2.0, 0, 0]) @ factors[1].T + 0.01
    synthesis = [1j * np.eye(4), np.eye(4)]
    pilots = KroneckerMeasurement(factors, y, noise_variance=0.1, synthesis=synthesis)
    found = channel.estimate(pilots)
    with pytest.raises(ValueError, match="channel is complex and the unknown real"):
        found.channel_interval()


def test_a_noise_variance_beside_a_weight_of_l1_is_refused(tmp_path, measurement):
    options = {"lam": 0.1, "noise_variance": 1.0, "resume": None}
    with pytest.raises(ValueError, match="noise_variance says nothing"):
        estimate_into(tmp_path, "uplink", measurement, prior="l1", **options)
    assert not any(tmp_path.iterdir())


def test_a_prior_with_a_prox_has_no_error_bars(measurement):
    m = measurement
    H = ss.operators.Kronecker(*m.factors)
    lam = 0.05 * float(np.abs(H.adjoint(m.y)).max())
    found = channel.estimate(m, ss.priors.L1(lam), max_iter=3000)
    assert found.posterior is None
    assert found.nmse < 0.9
    with pytest.raises(TypeError, match="no posterior"):
        found.channel_interval(0.9)
    with pytest.raises(TypeError, match="noise_variance is for hierarchical"):
        channel.estimate(m, ss.priors.L1(lam), noise_variance=1.0)


def test_bad_arguments_of_estimate(measurement):
    with pytest.raises(TypeError, match="measurement is a list"):
        channel.estimate([measurement])
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="noise_variance"):
            channel.estimate(measurement, noise_variance=bad)
    with pytest.raises(TypeError, match="exclude each other"):
        channel.estimate(
            measurement, noise_variance=1.0, solver=ss.VariationalEM(noise_variance=1.0)
        )
    with pytest.raises(TypeError, match="prior is a str"):
        channel.estimate(measurement, "sbl")


@pytest.mark.parametrize("noise", [None, 0.1])
def test_a_measurement_of_nothing_is_refused(tmp_path, measurement, noise):
    silent = replace(measurement, y=0 * measurement.y, noise_variance=noise)
    with pytest.raises(ValueError, match="the measurement's y is zero everywhere, wh"):
        channel.estimate(silent)
    with pytest.raises(ValueError, match="y is zero everywhere"):
        estimate_into(tmp_path, "uplink", silent)
    mask = measurement.y != measurement.y[0, 0, 0]
    alone = replace(measurement, y=np.where(mask, 0, measurement.y), mask=mask)
    with pytest.raises(ValueError, match="zero everywhere where mask is True"):
        channel.estimate(alone)


def test_a_solver_of_ones_own(measurement):
    solver = ss.VariationalEM(noise_variance=measurement.noise_variance)
    a = channel.estimate(measurement, solver=solver, max_iter=3)
    assert a.solution.n_iter == 3


# Coloured noise


def covariance(rng, n, *, real=False):
    a = rng.standard_normal((n, n)) if real else normal(rng, n, n)
    return a @ a.conj().T + 0.3 * np.eye(n)


@pytest.mark.parametrize("snapshots", [None, 2])
def test_whitening_leaves_the_likelihood_what_it_is(rng, snapshots):
    m = channel.simulate(0, 10.0, SMALL, snapshots=snapshots)
    R = [covariance(rng, a.shape[0], real=k == 1) for k, a in enumerate(m.factors)]
    w = channel.whiten(m, R)
    assert w.noise_variance == 1
    assert w.synthesis is m.synthesis or all(
        np.array_equal(a, b) for a, b in zip(w.synthesis, m.synthesis, strict=True)
    )
    x = normal(rng, *m.x.shape)
    residual = (m.y - m.operator(x)).reshape(4 * 2 * 4, -1)
    wanted = np.sum(residual.conj() * np.linalg.solve(kron(R), residual)).real
    white = np.sum(np.abs(w.y - w.operator(x)) ** 2)
    assert white == pytest.approx(wanted)


def test_white_noise_stays_what_it_is():
    m = channel.simulate(0, 15.0, SMALL)
    R = [np.eye(4) * m.noise_variance, np.eye(2), np.eye(4)]
    a, b = channel.estimate(m), channel.estimate(channel.whiten(m, R))
    np.testing.assert_allclose(b.channel, a.channel, rtol=1e-4, atol=1e-7)
    assert b.nmse == pytest.approx(a.nmse, rel=1e-3)


def test_whitening_pays(rng):
    gains = []
    for seed in range(2):
        m = channel.simulate(seed, 200.0)
        R = [np.eye(6), np.eye(3), covariance(rng, 16)]
        level = np.mean(np.abs(m.y) ** 2) * 16 / np.trace(R[2]).real / 10
        R[2] = R[2] * level
        noise = normal(rng, 6, 3, 16) / np.sqrt(2) @ np.linalg.cholesky(R[2]).T
        noisy = replace(m, y=m.y + noise, noise_variance=None)
        blind = channel.estimate(noisy, max_iter=60).nmse
        white = channel.estimate(channel.whiten(noisy, R), max_iter=60).nmse
        gains.append(white / blind)
    assert np.median(gains) < 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda R: R[:2], "covariances has 2 matrices; wanted 3"),
        (lambda R: [R[1], R[0], R[2]], r"covariances\[0\] has shape \(2, 2\)"),
        (lambda R: [R[0], R[1], -R[2]], r"\[2\] is not positive definite"),
        (lambda R: [np.ones((4, 4)), *R[1:]], r"\[0\] is not positive definite"),
        (lambda R: [R[0] + np.eye(4, k=1), *R[1:]], r"\[0\] is not Hermitian"),
        (lambda R: [np.full((4, 4), np.nan), *R[1:]], r"\[0\] has 16 NaN"),
        (lambda R: [np.zeros((0, 0)), *R[1:]], r"\[0\] is empty"),
    ],
)
def test_bad_covariances(change, message):
    m = channel.simulate(0, 10.0, SMALL)
    with pytest.raises(ValueError, match=message):
        channel.whiten(m, change([np.eye(4), np.eye(2), np.eye(4)]))


def test_what_cannot_be_whitened():
    m = channel.simulate(0, 10.0, SMALL)
    holes = np.ones((4, 2, 4), bool)
    holes[0, 0, 0] = False
    with pytest.raises(ValueError, match="measurement has a mask"):
        channel.whiten(replace(m, mask=holes), [np.eye(4), np.eye(2), np.eye(4)])
    with pytest.raises(TypeError, match="measurement is a ndarray"):
        channel.whiten(m.y, [np.eye(4)])


# The published synthetic problem


@pytest.mark.parametrize("snr_db", [25.0, 10.0])
def test_the_synthetic_problem_is_drawn_as_published(snr_db):
    rng = np.random.default_rng(4)
    A = [rng.standard_normal((m, 15)) for m in (8, 12, 15)]
    xs = []
    for _ in range(3):
        x = np.zeros(15)
        places = np.sort(rng.choice(15, 3, replace=False))
        x[places] = rng.standard_normal(3)
        xs.append(x)
    x = np.kron(xs[0], np.kron(xs[1], xs[2]))
    clean = np.kron(A[0], np.kron(A[1], A[2])) @ x
    noise = np.mean(clean**2) / 10 ** (snr_db / 10)
    y = clean + np.sqrt(noise) * rng.standard_normal(1440)
    m = ss.data.kronecker_sparse(4, snr_db)
    assert isinstance(m, KroneckerMeasurement)
    assert m.noise_variance == pytest.approx(noise)
    np.testing.assert_allclose(m.x.ravel(), x)
    np.testing.assert_allclose(m.y.ravel(), y, rtol=1e-10, atol=1e-10)
    for a, b in zip(m.factors, A, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", [-1, 1.5, True, None])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="seed is"):
        ss.data.kronecker_sparse(seed)


def test_bad_levels():
    with pytest.raises(ValueError, match="snr_db is nan"):
        ss.data.kronecker_sparse(0, np.nan)
