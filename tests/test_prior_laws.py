"""Laws of every proximal prior in `cases.PRIORS`."""

from __future__ import annotations

import numpy as np
import pytest
from cases import COMPLEX, PRIORS, random

from sparsesolve.backends import arrays_in, to_device, to_numpy

STEP = 0.8
ROWS = [(name, dtype) for name, case in PRIORS.items() for dtype in case.dtypes]
LIBRARY_ROWS = [
    (name, dtype, library)
    for name, dtype in ROWS
    for library in PRIORS[name].libraries
    if library != "numpy"
]


def made(name: str):
    return PRIORS[name].make().bind(PRIORS[name].shape)


def rows(keep):
    """The rows of the table whose prior (bound) `keep` accepts, by name and dtype."""
    return [(name, dtype) for name, dtype in ROWS if keep(made(name))]


def item(name: str, dtype: str, seed: int = 0, batch: tuple[int, ...] = ()):
    return 1.5 * random((*batch, *PRIORS[name].shape), dtype, seed)


def exact(x):
    """The same numbers in double precision."""
    return x.astype(np.result_type(x, np.float64))


def tolerance(name: str, dtype: str) -> float:
    single = dtype in ("float32", "complex64")
    if "TotalVariation" in name:
        # What a duality gap of 1e-11 leaves, √(2 tol · value), or rounding instead.
        return 1e-3 if single else 2e-5
    return 2e-5 if single else 1e-12


def objective(prior, x, v):
    # Sets allow for the rounding of the dtype they are asked about.
    value = prior.value(x.astype(v.dtype))
    return float(value) + np.sum(np.abs(exact(x) - exact(v)) ** 2) / (2 * STEP)


def candidates(prior, v, x):
    """Points that the minimiser must not lose to: far, near, on kinks, in the set."""
    rng = np.random.default_rng(1)

    def noise():
        return random(v.shape, str(v.dtype), int(rng.integers(1 << 30)))

    yield from (np.zeros_like(v), v, np.ones_like(v), prior.prox(v, 2 * STEP))
    for i in np.ndindex(v.shape):
        for value in (0, v[i], 0.5 * v[i], x[i] + 1e-3, x[i] - 1e-3):
            y = x.copy()
            y[i] = value
            yield y
    for size in (3.0, 1.0, 0.1, 1e-2, 1e-3):
        for _ in range(10):
            yield x + size * noise()
            yield x * (1 + size * noise())
            inside = prior.prox(v + size * noise(), STEP)
            yield inside
            yield x + 0.1 * (inside - x)


@pytest.mark.parametrize(("name", "dtype"), rows(lambda prior: prior.has_value))
def test_the_prox_beats_every_candidate(name, dtype):
    prior, v = made(name), item(name, dtype)
    x = prior.prox(v, STEP)
    best = objective(prior, x, v)
    assert np.isfinite(best)
    slack = (1e-9 if dtype in ("float64", "complex128") else 5e-5) * (1 + best)
    if prior.lam is None:  # a set, whose value allows for rounding, √eps of its scale
        slack += 10 * np.sqrt(np.finfo(dtype).eps)
    for y in candidates(prior, v, x):
        assert best <= objective(prior, y, v) + slack


@pytest.mark.parametrize(("name", "dtype"), rows(lambda prior: prior.convex))
def test_a_convex_prox_is_firmly_non_expansive(name, dtype):
    prior = made(name)
    for seed in range(5):
        v, w = item(name, dtype, seed), item(name, dtype, seed + 100)
        p, q = prior.prox(v, STEP), prior.prox(w, STEP)
        inner = np.vdot(exact(p - q), exact(v - w)).real
        assert np.linalg.norm(exact(p - q)) ** 2 <= inner + 10 * tolerance(name, dtype)


@pytest.mark.parametrize(("name", "dtype"), rows(lambda prior: not prior.real_only))
def test_a_common_phase_passes_through(name, dtype):
    prior, v = made(name), item(name, dtype)
    phase = np.asarray(np.exp(0.7j) if dtype in COMPLEX else -1.0).astype(dtype)
    turned = prior.prox(v * phase, STEP)
    np.testing.assert_allclose(
        turned, prior.prox(v, STEP) * phase, atol=tolerance(name, dtype)
    )


@pytest.mark.parametrize(
    ("name", "dtype"),
    rows(lambda p: not p.real_only and (p.separable or "Magnitude" in repr(p))),
)
def test_phases_of_entries_pass_through(name, dtype):
    prior, v = made(name), item(name, dtype)
    phases = random(v.shape, dtype, 9)
    phases = phases / np.abs(phases)
    turned = prior.prox(v * phases, STEP)
    np.testing.assert_allclose(
        turned, prior.prox(v, STEP) * phases, atol=tolerance(name, dtype)
    )


@pytest.mark.parametrize(("name", "dtype"), rows(lambda prior: prior.separable))
def test_entries_of_a_separable_prior_do_not_see_each_other(name, dtype):
    prior, v = made(name), item(name, dtype)
    v[1, 2] = 2
    changed = v.copy()
    changed[1, 2] = -2
    x, y = prior.prox(v, STEP), prior.prox(changed, STEP)
    assert x[1, 2] != y[1, 2]
    y[1, 2] = x[1, 2]
    np.testing.assert_array_equal(x, y)
    if next(arrays_in(prior), None) is not None:
        return
    order = np.random.default_rng(0).permutation(v.size)
    shuffled = prior.prox(v.reshape(-1)[order].reshape(v.shape), STEP)
    np.testing.assert_array_equal(shuffled.reshape(-1), x.reshape(-1)[order])


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_a_batch_is_a_loop_with_steps_and_lams_of_its_own(name, dtype):
    prior, v = made(name), item(name, dtype, batch=(2, 3))
    # In double precision, so that the prior must bring them to that of the unknown.
    steps = np.array([[0.3, 1.0, 2.0], [0.7, 0.1, 4.0]])
    lams = np.array([[1.0, 0.2, 0.5], [0.1, 3.0, 0.4]])
    many = prior if prior.lam is None else prior.with_lam(lams)
    together = many.prox(v, steps)
    assert together.dtype == dtype
    for i in np.ndindex(2, 3):
        one = prior if prior.lam is None else prior.with_lam(lams[i])
        alone = one.prox(v[i], steps[i])
        np.testing.assert_allclose(together[i], alone, atol=tolerance(name, dtype))
    if prior.has_value:
        values = many.value(together)
        assert values.shape == (2, 3)
        for i in np.ndindex(2, 3):
            one = prior if prior.lam is None else prior.with_lam(lams[i])
            np.testing.assert_allclose(values[i], one.value(together[i]), rtol=1e-5)


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_dtype_and_shape_are_kept_and_inputs_untouched(name, dtype):
    prior, v = made(name), item(name, dtype)
    before, settings = v.copy(), [a.copy() for a in arrays_in(prior)]
    x = prior.prox(v, STEP)
    assert x.dtype == dtype
    assert x.shape == v.shape
    if prior.has_value:
        assert prior.value(x).dtype == v.real.dtype
    np.testing.assert_array_equal(v, before)
    for now, then in zip(arrays_in(prior), settings, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_views_and_fortran_order_do_not_matter(name, dtype):
    prior, v = made(name), item(name, dtype)
    x = prior.prox(v, STEP)
    for same in (np.asfortranarray(v), np.repeat(v, 2, -1)[..., ::2]):
        np.testing.assert_allclose(
            prior.prox(same, STEP), x, atol=tolerance(name, dtype)
        )


@pytest.mark.parametrize(("name", "dtype", "library"), LIBRARY_ROWS)
def test_libraries_agree(name, dtype, library):
    pytest.importorskip(library.partition(":")[0])
    prior, v = made(name), item(name, dtype, batch=(2,))
    other, w = prior.to(library), to_device(v, library)
    steps = np.array([0.8, 0.3], v.real.dtype)
    x, y = prior.prox(v, steps), other.prox(w, to_device(steps, library))
    assert type(y) is type(w)
    assert y.dtype == w.dtype
    np.testing.assert_allclose(to_numpy(y), x, atol=tolerance(name, dtype))
    if prior.has_value:
        values = to_numpy(other.value(y))
        np.testing.assert_allclose(values, prior.value(x), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_a_warm_start_changes_the_way_and_not_the_answer(name, dtype):
    prior, v = made(name), item(name, dtype, batch=(2,))
    x = prior.prox(v, STEP)
    y, warm = prior.prox_warm(v, STEP, None)
    np.testing.assert_array_equal(x, y)
    for array in arrays_in(warm):
        assert array.shape[:1] == (2,)
        assert array.dtype == dtype or array.dtype == v.real.dtype
    nearby = v + item(name, dtype, 5, (2,)) / 100
    y, _ = prior.prox_warm(nearby, STEP, warm)
    np.testing.assert_allclose(y, prior.prox(nearby, STEP), atol=tolerance(name, dtype))


@pytest.mark.parametrize(("name", "dtype"), rows(lambda p: p.keeps_nonnegative))
def test_a_prior_that_says_so_keeps_non_negative_arrays(name, dtype):
    prior = made(name)
    for seed in range(10):
        x = prior.prox(np.abs(item(name, dtype, seed)), STEP)
        assert x.dtype == dtype or x.dtype == np.empty(0, dtype).real.dtype
        assert (x.real >= 0).all()
        assert (x.imag == 0).all()


@pytest.mark.parametrize(
    ("name", "dtype"), rows(lambda p: p.increasing and p.has_value)
)
def test_a_prior_that_says_so_increases(name, dtype):
    prior, x = made(name), np.abs(item(name, dtype))
    for seed in range(10):
        more = x + np.abs(item(name, dtype, seed + 1)) / 3
        assert prior.value(more) >= prior.value(x)


@pytest.mark.parametrize(
    ("name", "dtype"), rows(lambda p: p.lam is None and p.has_value)
)
def test_a_set_has_value_zero_inside_and_infinity_outside(name, dtype):
    prior, v = made(name), 5 * item(name, dtype)
    x = prior.prox(v, STEP)
    assert prior.value(x) == 0
    np.testing.assert_allclose(prior.prox(x, STEP), x, atol=tolerance(name, dtype))
    np.testing.assert_array_equal(prior.prox(v, 100 * STEP), x)
    if name != "Zero":
        assert prior.value(v) == np.inf
        assert np.isinf(prior.value(x + np.resize([2.0, -2.0], x.shape)))


@pytest.mark.parametrize(("name", "dtype"), ROWS)
def test_nan_comes_out_and_is_not_hidden(name, dtype):
    prior, v = made(name), item(name, dtype)
    v[(0,) * v.ndim] = np.nan
    assert np.isnan(prior.prox(v, STEP)).any()


def offers(method):
    """Whether a prior has its own `method`; that of the contract raises TypeError."""

    def keep(prior):
        args = () if method == "kernel" else (np.ones(prior.x_shape),)
        try:
            getattr(prior, method)(*args)
        except TypeError:
            return False
        return True

    return keep


@pytest.mark.parametrize(("name", "dtype"), rows(offers("critical_lam")))
def test_critical_lam_is_where_zero_stops_being_the_answer(name, dtype):
    prior, g = made(name), item(name, dtype, batch=(3,))
    critical = prior.critical_lam(-g)
    assert critical.shape == (3,)
    for gradient, lam in zip(g, critical, strict=True):
        # ∇f(0) = -g: 0 is optimal if a step from it comes back to it.
        above, below = prior.with_lam(lam * 1.001), prior.with_lam(lam * 0.999)
        step = gradient.real.dtype.type(STEP)
        assert not above.prox(step * gradient, STEP).any()
        assert below.prox(step * gradient, STEP).any()


@pytest.mark.parametrize(("name", "dtype"), rows(offers("majorise")))
def test_a_majoriser_touches_and_is_never_below(name, dtype):
    prior, x = made(name), exact(item(name, dtype))
    above = prior.majorise(x)
    assert above.x_shape == prior.x_shape

    def excess(z):
        return (above.value(z) - above.value(x)) - (prior.value(z) - prior.value(x))

    for seed in range(20):
        far = exact(item(name, dtype, seed + 1))
        for z in (far, 3 * far, 0 * far, x + far / 10, x * far.real, -x):
            assert excess(z) >= -1e-9
        # To first order they are equal, and above in both directions.
        for t in (1e-6, -1e-6):
            assert -1e-12 <= excess(x + t * far) <= 1e-3 * abs(t)
    # Only the constant 0 touches infinitely steep: it stays.
    if not hasattr(prior, "floor"):
        assert not prior.majorise(0 * x).prox(x, STEP).any()


@pytest.mark.parametrize(("name", "dtype"), rows(offers("kernel")))
def test_the_scalar_kernel_is_the_prox_of_one_entry(name, dtype):
    prior, v = made(name), 2 * item(name, dtype)
    v[0, 0] = 0
    kernel, parameters = prior.kernel()
    alone = [kernel(entry, STEP, parameters) for entry in v.reshape(-1)]
    together = prior.prox(v, STEP).reshape(-1)
    np.testing.assert_allclose(alone, together, atol=tolerance(name, dtype))


@pytest.mark.parametrize("name", [n for n in PRIORS if made(n).lam is not None])
def test_with_lam_is_a_new_prior(name):
    prior = made(name)
    lam, v = prior.lam, item(name, PRIORS[name].dtypes[0])
    x = prior.prox(v, STEP)
    other = prior.with_lam(2 * lam)
    assert (prior.lam, other.lam) == (lam, 2 * lam)
    assert other.x_shape == prior.x_shape
    assert not np.array_equal(other.prox(v, STEP), x)
    np.testing.assert_array_equal(prior.prox(v, STEP), x)
    np.testing.assert_allclose(other.value(x), 2 * prior.value(x), rtol=1e-5)


def test_the_laws_that_pick_their_rows_find_them():
    kernels = {name for name, _ in rows(offers("kernel"))}
    assert kernels == {
        "L1",
        "SquaredL2",
        "ElasticNet",
        "Lp, 0",
        "Lp, 1/2",
        "Lp, 2/3",
        "NonNegative",
        "Box",
    }
    majorisers = {name for name, _ in rows(offers("majorise"))}
    assert {"L1", "L1, weighted", "Lp, 1/2", "Lp, 2/3", "GroupL2, axis"} <= majorisers
    assert "Lp, 0" not in majorisers
    critical = {name for name, _ in rows(offers("critical_lam"))}
    wanted = {"L1, weighted", "ElasticNet", "GroupL2, labels", "Magnitude of L1"}
    assert wanted <= critical
