"""Robust guided factorisation and its special cases, against versions of ten lines."""

import itertools

import numpy as np
import pytest

import sparsesolve as ss
from sparsesolve.applications.unmixing_guides import neighbour_guide, pixel_laplacian
from sparsesolve.applications.unmixing_robust import LOSSES, SUMS, factorise
from sparsesolve.priors import SparsenessGuide
from sparsesolve.priors.guides import sparseness

K, L, N = 3, 12, 40
FLOOR = 1e-4


def scene(seed=0, noise=0.02):
    rng = np.random.default_rng(seed)
    M = rng.random((K, L)) + 0.1
    shares = rng.dirichlet(0.5 * np.ones(K), N)
    Y = np.abs(shares @ M + noise * rng.standard_normal((N, L)))
    start = np.abs(M + 0.1 * rng.standard_normal((K, L)))
    return Y, start, rng.uniform(0.3, 2.0, N)


GUIDE = np.random.default_rng(8).uniform(0, 0.75, N)
GUIDES = {"learnt": None, "data": GUIDE, "constant": 0.5, "off": 0.0}


def run(Y, start, **options):
    options = {"max_iter": 12, "tol": 0, "progress": False} | options
    return factorise(Y, start, **options)


# The model, written once more


def objective(Y, M, A, *, lam, h=0.0, w=1.0, loss="l21", soft=None):
    """J of the docstring, for Y (L, N), M (L, K), A (K, N); soft: weight of sums."""
    squares = np.sum(w * (Y - M @ A) ** 2, axis=1)
    data = np.sum(np.sqrt(squares)) if loss == "l21" else np.sum(squares) / 2
    p = 1 - h + np.zeros_like(A)
    power = np.where(A > FLOOR, np.maximum(A, FLOOR) ** p, 0) - (1 - p) * FLOOR**p
    line = p * FLOOR ** (p - 1) * A
    penalty = lam * np.sum(w * np.where(A > FLOOR, power, line))
    return (
        data + penalty + (0 if soft is None else soft / 2 * np.sum((A.sum(0) - 1) ** 2))
    )


def best(G, b, total):
    """min x'Gx/2 - b'x over x >= 0 (of sum one): the best of all supports."""
    found = (np.inf, None)
    for bits in itertools.product((False, True), repeat=len(b)):
        s, x = np.flatnonzero(bits), np.zeros(len(b))
        if total and not s.size:
            continue
        m = s.size
        system = np.ones((m + 1, m + 1)) if total else np.empty((m, m))
        system[:m, :m] = G[np.ix_(s, s)]
        if total:
            system[m, m] = 0
        x[s] = np.linalg.solve(system, np.append(b[s], 1.0) if total else b[s])[:m]
        if x.min() >= -1e-13:
            found = min(found, (x @ G @ x / 2 - b @ x, tuple(x)))
    return np.array(found[1])


def alternate(Y, M, A, sweeps, *, lam, h=0.0, w=1.0, loss="l21", total=False, soft=0.0):
    """Reweighting and both blocks exactly; Y (L, N), M (L, K), A (K, N)."""
    w, h = w * np.ones(Y.shape[1]), h * np.ones(Y.shape[1])
    for _ in range(sweeps):
        u = np.ones(len(Y))
        if loss == "l21":
            u = 1 / np.sqrt(np.sum(w * (Y - M @ A) ** 2, axis=1))
        tilt = lam * w * (1 - h) * np.maximum(A, FLOOR) ** -h
        G = (M.T * u) @ M
        B = (M.T * u) @ Y
        A = np.stack(
            [
                best(w[n] * G + soft, w[n] * B[:, n] - tilt[:, n] + soft, total)
                for n in range(Y.shape[1])
            ],
            axis=1,
        )
        P, Q = (A * w) @ A.T, (A * w) @ Y.T
        M = np.stack([best(P, Q[:, band], False) for band in range(len(Y))])
    return M, A


def first_abundances(Y, start, total):
    """Of the first endmembers: (K, N), exact."""
    G = start @ start.T
    return np.stack([best(G, start @ y, total) for y in Y], axis=1)


# Special cases


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("h", ["constant", "data", "off", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_special_cases_are_those_of_ten_lines(loss, h, total, weighted):
    """NMF, ℓ1/2-NMF, data-guided NMF and ℓ2,1-NMF, and all between."""
    Y, start, w = scene()
    w = w if weighted else np.ones(N)
    sparsity = 0.0 if h == "none" else 0.7
    guide = GUIDES.get(h, 0.0)
    found = run(
        Y,
        start,
        loss=loss,
        sparsity=sparsity,
        guide=guide,
        pixel_weights=w if weighted else None,
        sum_to_one="exact" if total else "free",
        max_iter=6,
    )
    A = first_abundances(Y, start, total)
    misfit = objective(Y.T, start.T, A, lam=0.0, w=w, loss=loss)
    lam = sparsity * misfit / w.sum()
    M, A = alternate(Y.T, start.T, A, 6, lam=lam, h=guide, w=w, loss=loss, total=total)
    np.testing.assert_allclose(found.endmembers, M.T, atol=1e-10)
    np.testing.assert_allclose(found.abundances, A.T, atol=1e-10)
    J = objective(Y.T, M, A, lam=lam, h=guide, w=w, loss=loss)
    assert found.solution.history["objective"][-1] == pytest.approx(J, rel=1e-10)
    if sparsity:
        np.testing.assert_allclose(found.guide, guide * np.ones(N))
        assert f"{lam:.3g}" in found.solution.choices["lam"]


@pytest.mark.parametrize("loss", LOSSES)
def test_augmentation_is_a_row_of_the_size_of_the_endmembers(loss):
    Y, start, _ = scene()
    found = run(
        Y, start, loss=loss, guide=0.5, sparsity=0.3, sum_to_one="augmented", max_iter=5
    )
    A = first_abundances(Y, start, True)
    residual = Y.T - start.T @ A
    u = 1 / np.linalg.norm(residual, axis=1) if loss == "l21" else np.ones(L)
    soft = np.mean(np.sum(u[:, None] * start.T**2, axis=0))
    lam = 0.3 * objective(Y.T, start.T, A, lam=0.0, loss=loss) / N
    M, A = alternate(Y.T, start.T, A, 5, lam=lam, h=0.5, loss=loss, soft=soft)
    np.testing.assert_allclose(found.endmembers, M.T, atol=1e-10)
    np.testing.assert_allclose(found.abundances, A.T, atol=1e-10)
    J = objective(Y.T, M, A, lam=lam, h=0.5, loss=loss, soft=soft)
    assert found.solution.history["objective"][-1] == pytest.approx(J, rel=1e-10)


def test_nmf_ends_at_a_fixed_point_of_the_multiplicative_rules():
    """Lee & Seung's rules, and the published ones of the ℓ2,1 loss, from the end."""
    Y, start, _ = scene()
    for loss in LOSSES:
        found = run(
            Y,
            start,
            loss=loss,
            sparsity=0.0,
            sum_to_one="free",
            max_iter=4000,
            tol=1e-9,
        )
        M, A, X = found.endmembers.T, found.abundances.T, Y.T
        U = np.diag(found.band_weights)
        ruled_M = M * (X @ A.T) / (M @ A @ A.T)
        ruled_A = A * (M.T @ U @ X) / (M.T @ U @ M @ A)
        np.testing.assert_allclose(ruled_M, M, atol=1e-5)
        np.testing.assert_allclose(ruled_A, A, atol=1e-5)


def test_the_guide_is_learnt_every_fifth_sweep():
    Y, start, w = scene()
    found = run(Y, start, pixel_weights=w, sparsity=0.7, max_iter=7)
    A = first_abundances(Y, start, True)
    lam = 0.7 * objective(Y.T, start.T, A, lam=0.0, w=w) / w.sum()
    M = start.T
    for sweeps in (5, 2):
        h = np.minimum(sparseness(A), 0.75)
        M, A = alternate(Y.T, M, A, sweeps, lam=lam, h=h, w=w, total=True)
    np.testing.assert_allclose(found.endmembers, M.T, atol=1e-9)
    np.testing.assert_allclose(found.abundances, A.T, atol=1e-9)
    np.testing.assert_allclose(found.guide, h, atol=1e-9)
    assert list(found.solution.history["learnt"]) == [1, 0, 0, 0, 0, 1, 0]


# The objective


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_objective_never_rises_between_learnings(loss, guide, sums, weighted):
    Y, start, w = scene(3, noise=0.05)
    found = run(
        Y,
        start,
        loss=loss,
        guide=GUIDES[guide],
        sum_to_one=sums,
        pixel_weights=w if weighted else None,
        max_iter=23,
    )
    values = np.array(found.solution.history["objective"])
    learnt = np.zeros(len(values))
    if guide == "learnt":
        learnt = np.array(found.solution.history["learnt"])
        assert learnt.sum() == 5
    falls = -np.diff(values)
    assert np.all(falls[learnt[1:] == 0] >= -1e-12 * values[0])
    assert values[-1] < values[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_neither_block_raises_the_objective(loss):
    """With A first, a sweep leaves behind (old M, new A) and (new M, new A)."""
    Y, start, w = scene(4, noise=0.05)
    options = {"loss": loss, "guide": 0.5, "pixel_weights": w}
    A = first_abundances(Y, start, True)
    lam = 2 * objective(Y.T, start.T, A, lam=0.0, w=w, loss=loss) / w.sum()
    M = start.T
    for sweep in range(1, 15):
        found = run(Y, start, max_iter=sweep, **options)
        new_M, new_A = found.endmembers.T, found.abundances.T
        before, between, after = (
            objective(Y.T, *x, lam=lam, h=0.5, w=w, loss=loss)
            for x in ((M, A), (M, new_A), (new_M, new_A))
        )
        slack = 1e-12 * before
        assert after <= between + slack <= before + 2 * slack
        M, A = new_M, new_A


@pytest.mark.parametrize("loss", LOSSES)
def test_the_end_is_stationary(loss):
    Y, start, w = scene()
    found = run(
        Y,
        start,
        loss=loss,
        guide=0.5,
        sparsity=0.5,
        pixel_weights=w,
        max_iter=5000,
        tol=1e-10,
    )
    assert found.solution.converged
    M, A = found.endmembers.T, found.abundances.T
    R = M @ A - Y.T
    u = np.ones(L) if loss == "frobenius" else 1 / np.sqrt(np.sum(w * R**2, axis=1))
    start_A = first_abundances(Y, start, True)
    lam = 0.5 * objective(Y.T, start.T, start_A, lam=0, w=w, loss=loss) / w.sum()
    by_M = (u[:, None] * R * w) @ A.T
    by_A = M.T @ (u[:, None] * R * w)
    by_A += lam * w * 0.5 * np.maximum(A, FLOOR) ** -0.5
    size = np.abs(M.T @ (u[:, None] * Y.T * w)).max()
    assert np.abs(by_M[M > 1e-9]).max() < 1e-6 * size
    assert by_M.min() > -1e-6 * size
    # On the simplex: the smallest derivative wherever there is any share.
    excess = by_A - by_A.min(axis=0)
    assert excess[A > 1e-9].max() < 1e-6 * size
    np.testing.assert_allclose(A.sum(axis=0), 1, atol=1e-12)


# Symmetries


@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_bands_pixels_and_endmembers_may_be_permuted(loss, sums):
    Y, start, w = scene()
    rng = np.random.default_rng(5)
    pixels, bands, kinds = (rng.permutation(n) for n in (N, L, K))
    options = {"loss": loss, "sum_to_one": sums}
    one = run(Y, start, pixel_weights=w, **options)
    other = run(
        Y[pixels][:, bands], start[kinds][:, bands], pixel_weights=w[pixels], **options
    )
    for found, wanted in (
        (other.endmembers, one.endmembers[kinds][:, bands]),
        (other.abundances, one.abundances[pixels][:, kinds]),
        (other.band_weights, one.band_weights[bands]),
        (other.guide, one.guide[pixels]),
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-7)


@pytest.mark.parametrize("c", [1e-4, 5e3])
@pytest.mark.parametrize("sums", SUMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_units_do_not_matter(loss, sums, c):
    Y, start, w = scene()
    options = {"loss": loss, "sum_to_one": sums}
    one = run(Y, start, pixel_weights=w, **options)
    other = run(c * Y, c * start, pixel_weights=w, **options)
    np.testing.assert_allclose(
        other.endmembers, c * one.endmembers, rtol=1e-6, atol=1e-9 * c
    )
    np.testing.assert_allclose(other.abundances, one.abundances, atol=1e-7)
    np.testing.assert_allclose(other.band_weights, one.band_weights, rtol=1e-6)


def test_pixel_weights_mean_repetition_and_their_scale_nothing():
    Y, start, _ = scene()
    whole = np.random.default_rng(2).integers(1, 4, N)
    again = np.repeat(np.arange(N), whole)
    for loss in LOSSES:
        one = run(Y, start, loss=loss, pixel_weights=1.0 * whole)
        other = run(Y[again], start, loss=loss)
        np.testing.assert_allclose(one.endmembers, other.endmembers, atol=1e-8)
        np.testing.assert_allclose(one.abundances[again], other.abundances, atol=1e-8)
        thrice = run(Y, start, loss=loss, pixel_weights=3.0 * whole)
        np.testing.assert_allclose(thrice.endmembers, one.endmembers, atol=1e-8)


# What comes out


def test_band_weights_fall_on_corrupted_bands_and_endmembers_hold():
    rng = np.random.default_rng(0)
    truth = rng.random((K, 40)) + 0.1
    shares = rng.dirichlet(0.5 * np.ones(K), 200)
    Y = np.abs(shares @ truth + 0.005 * rng.standard_normal((200, 40)))
    start = np.abs(truth + 0.05 * rng.standard_normal((K, 40)))
    bad, angles = np.array([2, 7, 20, 33]), {}
    Y[:, bad] = 3 * rng.random((200, 4))
    good = np.setdiff1d(np.arange(40), bad)
    for loss in LOSSES:
        found = run(Y, start, loss=loss, sparsity=0.0, max_iter=40)
        angles[loss] = ss.metrics.spectral_angle(
            found.endmembers[:, good], truth[:, good]
        )
        if loss == "l21":
            assert found.band_weights[bad].max() < 0.1 * found.band_weights[good].min()
            residual = Y.T - found.endmembers.T @ found.abundances.T
            u = 1 / np.linalg.norm(residual, axis=1)
            np.testing.assert_allclose(found.band_weights, u / u.mean(), rtol=1e-10)
        else:
            np.testing.assert_array_equal(found.band_weights, np.ones(40))
    assert angles["l21"] < 0.04 < 0.1 < angles["frobenius"]


def test_sums_are_as_they_are_named():
    Y, start, _ = scene()
    Y = Y * np.linspace(0.5, 1.5, N)[:, None]  # free sums are far from one then
    found = {word: run(Y, start, sum_to_one=word, sparsity=0.0) for word in SUMS}
    sums = {word: fit.abundances.sum(axis=1) for word, fit in found.items()}
    np.testing.assert_allclose(sums["exact"], 1, atol=1e-12)
    np.testing.assert_allclose(sums["normalised"], 1, atol=1e-12)
    assert np.ptp(sums["free"]) > 0.3
    assert 0.005 < np.ptp(sums["augmented"]) < 0.9 * np.ptp(sums["free"])
    free, normal = found["free"], found["normalised"]
    np.testing.assert_allclose(normal.endmembers, free.endmembers, atol=1e-12)
    np.testing.assert_allclose(
        normal.abundances, free.abundances / sums["free"][:, None], atol=1e-12
    )


def test_dark_pixels_have_no_abundances_to_normalise():
    Y, start, _ = scene()
    Y[4] = 0
    found = run(Y, start, loss="frobenius", sparsity=0.0, sum_to_one="normalised")
    np.testing.assert_array_equal(found.abundances[4], 0)
    assert np.isfinite(found.abundances).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_single_precision_stays(loss):
    Y, start, w = scene()
    wide = run(Y, start, loss=loss, pixel_weights=w)
    narrow = run(Y.astype("f4"), start.astype("f4"), loss=loss, pixel_weights=w)
    for name in ("endmembers", "abundances", "band_weights", "guide"):
        assert getattr(narrow, name).dtype == np.float32, name
        np.testing.assert_allclose(
            getattr(narrow, name), getattr(wide, name), atol=2e-2, err_msg=name
        )


def test_inputs_are_not_changed_and_negative_starts_are_cut():
    Y, start, w = scene()
    start[0, 0] = -0.3
    copies = [a.copy() for a in (Y, start, w)]
    found = run(Y, start, pixel_weights=w)
    for now, before in zip((Y, start, w), copies, strict=True):
        np.testing.assert_array_equal(now, before)
    cut = run(Y, np.maximum(start, 0), pixel_weights=w)
    np.testing.assert_array_equal(found.endmembers, cut.endmembers)


def test_a_cube_and_integers_are_taken_as_the_spectra_they_stand_for():
    Y, start, _ = scene()
    counts = np.round(1e4 * np.maximum(Y, 0)).astype(np.int32)
    whole = run(counts / 1e4, start)
    cube = ss.HyperspectralCube(counts[None], scale=1e-4)
    np.testing.assert_allclose(run(cube, start).abundances, whole.abundances, atol=1e-9)
    units = run(counts, 1e4 * start)
    np.testing.assert_allclose(units.abundances, whole.abundances, atol=1e-6)


def test_a_guide_object_is_taken_as_it_is():
    Y, start, _ = scene()
    found = run(Y, start, guide=SparsenessGuide(start=0.1, largest=0.3))
    assert found.guide.max() == pytest.approx(0.3)
    wide = run(Y, start)
    assert wide.guide.max() == pytest.approx(0.75)
    off = run(Y, start, sparsity=0.0)
    np.testing.assert_array_equal(off.guide, 0)


def test_exact_data_need_no_penalty_and_stay():
    _, start, _ = scene()
    shares = np.random.default_rng(0).dirichlet(np.ones(K), N)
    found = run(shares @ start, start, sparsity=0.0)
    np.testing.assert_allclose(found.abundances, shares, atol=1e-6)
    np.testing.assert_allclose(found.endmembers, start, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "l2"}, "loss is 'l2'; wanted one of l21, frobenius"),
        ({"sum_to_one": "yes"}, "sum_to_one is 'yes'"),
        ({"sparsity": -1.0}, "sparsity is -1"),
        ({"guide": 1.0}, "guide has 1 to 1"),
        ({"guide": np.full(N, -0.1)}, "guide has -0.1"),
        ({"guide": np.full(N - 1, 0.1)}, "guide"),
        ({"pixel_weights": np.ones(N - 1)}, "pixel_weights has shape"),
        ({"pixel_weights": -np.ones(N)}, "weights"),
        (
            {"loss": "frobenius", "pixel_weights": np.ones((N, 1))},
            "pixel_weights has shape",
        ),
        ({"loss": "frobenius", "pixel_weights": -np.ones(N)}, "weights"),
        ({"start": np.ones((K, L + 1))}, "start has shape"),
        ({"start": np.ones(L)}, "start has shape"),
        ({"start": np.full((K, L), np.nan)}, "start has 36 NaN"),
        ({"start": -np.ones((K, L))}, r"start\[0\] has no entry above 0"),
        ({"pixels": np.full((N, L), np.nan)}, "pixels has .* NaN"),
        ({"pixels": np.full((N, L), 1j)}, "pixels holds complex128"),
        ({"pixels": np.ones(L)}, "pixels has shape"),
    ],
)
def test_bad_input_is_one_sentence(change, message):
    Y, start, _ = scene()
    settings = {"pixels": Y, "start": start, "progress": False} | change
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        factorise(settings.pop("pixels"), settings.pop("start"), **settings)
    assert "\n" not in str(caught.value)


# Guides from the data

VALID = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1]], bool)


def neighbours():
    """Pairs of valid pixels that share an edge, the slow way."""
    index = {tuple(p): i for i, p in enumerate(np.argwhere(VALID))}
    return [
        (i, index[q])
        for p, i in index.items()
        for q in ((p[0] + 1, p[1]), (p[0], p[1] + 1))
        if q in index
    ]


def test_the_laplacian_of_the_valid_pixels():
    n = int(VALID.sum())
    dense = np.zeros((n, n))
    for i, j in neighbours():
        dense[[i, j], [i, j]] += 1
        dense[[i, j], [j, i]] -= 1
    np.testing.assert_array_equal(pixel_laplacian(VALID).toarray(), dense)
    # A map that rises along the rows has no other curvature than at its ends.
    full = pixel_laplacian(np.ones((1, 5), bool)) @ np.arange(5.0)
    np.testing.assert_array_equal(full, [-1, 0, 0, 0, 1])


def test_the_neighbour_guide_is_the_mean_similarity():
    rng = np.random.default_rng(0)
    Y = rng.random((int(VALID.sum()), 6))
    unit = Y / np.linalg.norm(Y, axis=1, keepdims=True)
    pairs = neighbours()
    angles = np.array([np.arccos(unit[i] @ unit[j]) for i, j in pairs])
    alike = np.exp(-(angles**2) / (2 * np.median(angles) ** 2))
    mean = np.array(
        [
            np.mean([s for s, pair in zip(alike, pairs, strict=True) if n in pair])
            for n in range(len(Y))
        ]
    )
    wanted = 0.75 * (mean - mean.min()) / np.ptp(mean)
    found = neighbour_guide(Y, VALID)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    np.testing.assert_allclose(neighbour_guide(1e3 * Y, VALID), wanted, atol=1e-12)
    same = neighbour_guide(np.ones_like(Y), VALID)
    np.testing.assert_array_equal(same, 0)


def test_a_guide_smoothed_on_the_image_runs_through():
    Y, start, _ = scene()
    laplacian = pixel_laplacian(np.ones((5, 8), bool))
    guide = SparsenessGuide(laplacian=laplacian, smoothing=2.0, largest=0.9)
    found = run(Y, start, guide=guide, max_iter=5)
    A = first_abundances(Y, start, True)
    h = np.linalg.solve(np.eye(N) + 2 * laplacian.toarray(), sparseness(A))
    np.testing.assert_allclose(found.guide, np.clip(h, 0, 0.9), atol=1e-4)
    assert ss.metrics.spectral_angle(found.endmembers, start) < 0.5
