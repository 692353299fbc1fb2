"""`Kronecker` beside the bare matrix products, written by hand for each size.

Floor: the products themselves, in the cheapest order and the fastest layout that
NumPy offers. Run with ``OPENBLAS_NUM_THREADS=1`` on a machine that others share.
"""

import functools

import numpy as np
from measure import alternate, machine

import sparsesolve as ss

REPEATS = 11


def matrix(shape, dtype, seed):
    """Random numbers of any dtype."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def two_wide(factors, x):
    """A X Bᵀ, where A shortens more than B lengthens."""
    a, b = factors
    return np.matmul(np.matmul(a, x), b.T)


def two_tall(factors, x):
    """A (X Bᵀ): the last axis first."""
    a, b = factors
    return np.matmul(a, np.matmul(x, b.T))


def three(factors, x):
    """Last axis as one product, then the first, then the middle one in a batch."""
    a, b, c = factors
    z = np.dot(x.reshape(-1, c.shape[1]), c.T)
    z = np.dot(a, z.reshape(a.shape[1], -1))
    return np.matmul(b, z.reshape(a.shape[0], b.shape[1], -1))


def three_cyclic(factors, x):
    """Three single products, each on the transposed result of the one before."""
    for a in factors:
        x = np.dot(x.reshape(a.shape[1], -1).T, a.T)
    return x.reshape([a.shape[0] for a in factors])


def narrow(factors, x):
    """The last axis has two entries: move the middle one to the end, and back."""
    a, b, c = factors
    z = np.dot(x.reshape(-1, 2), c.T).reshape(-1, b.shape[1], 2)
    z = np.dot(z.transpose(0, 2, 1).reshape(-1, b.shape[1]), b.T)
    z = z.reshape(-1, 2, b.shape[0]).transpose(0, 2, 1)
    z = np.dot(a, z.reshape(a.shape[1], -1))
    return z.reshape(a.shape[0], b.shape[0], 2)


def batch(factors, x):
    """Many small problems: one product for the last axis, a batch for the first."""
    a, b = factors
    z = np.dot(x.reshape(-1, b.shape[1]), b.T)
    return np.matmul(a, z.reshape(-1, a.shape[1], b.shape[0]))


CASES = {
    "2 modes, 400x500 and 300x200": (two_wide, [(400, 500), (300, 200)], ()),
    "2 modes, 600x300 and 150x500": (two_tall, [(600, 300), (150, 500)], ()),
    "3 modes, 64 to 48": (three, [(48, 64)] * 3, ()),
    "3 modes, 64 to 48, cyclic": (three_cyclic, [(48, 64)] * 3, ()),
    "3 modes, channel of 14x12x15": (three, [(14, 24), (12, 24), (15, 24)], ()),
    "3 modes, last of 2": (narrow, [(200, 200), (200, 200), (2, 2)], ()),
    "2 modes, batch of 1000 16x16": (batch, [(16, 16), (16, 16)], (1000,)),
}


def compare(bare, shapes, leading, dtype, *, adjoint=False):
    """Seconds of both, median of bare / ours, and their relative difference."""
    factors = [matrix(s, dtype, i) for i, s in enumerate(shapes)]
    A = ss.operators.Kronecker(*factors)
    if adjoint:
        A, factors = A.H, [a.conj().T for a in factors]
    x = matrix((*leading, *A.in_shape), dtype, 9)
    wanted = bare(factors, x)
    error = np.abs(A.forward(x) - wanted).max() / np.abs(wanted).max()

    # Blocks of some 0.1 s: shorter ones measure the scheduler's time slices.
    times = max(1, int(1e9 / (x.size * sum(m for m, _ in shapes))))

    def repeat(run):
        for _ in range(times):
            run()

    ours = functools.partial(repeat, lambda: A.forward(x))
    peer = functools.partial(repeat, lambda: bare(factors, x))
    seconds, bare_seconds, ratio = alternate(ours, peer, repeats=REPEATS)
    return seconds / times, bare_seconds / times, ratio, error


if __name__ == "__main__":
    print(machine("numpy"))
    for dtype in ("float32", "float64", "complex64", "complex128"):
        rows = {name: compare(*case, dtype) for name, case in CASES.items()}
        rows["2 modes, adjoint"] = compare(
            two_wide, [(500, 400), (200, 300)], (), dtype, adjoint=True
        )
        for name, (ours, peer, ratio, error) in rows.items():
            print(
                f"{dtype:10}  {name:30}  ours {ours * 1e3:8.3f} ms  "
                f"bare {peer * 1e3:8.3f} ms  ours / bare {1 / ratio:5.2f}  "
                f"error {error:.0e}"
            )
