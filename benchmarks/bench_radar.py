"""`NearFieldMIMO` beside the dense complex64 product of the same matrix (573 MB).

The reference study: 12 x 13 antennas, 15 frequencies, 25 x 25 x 49 voxels. Run with
``OMP_NUM_THREADS=1`` for one thread; then Numba's second thread is measured against its
first, beside what the machine gives to two processes that share nothing: two processors
of a virtual machine may be one core. ``--tried`` instead times groups of other sizes in
the forward product, and both products while another process takes a core.
"""

import argparse
import contextlib
import math
import multiprocessing
import statistics
import time

import numba
import numpy as np
from measure import alternate, machine, seconds

from sparsesolve.applications.radar_simulation import reference_grid, simulate_scan
from sparsesolve.operators import NearFieldMIMO
from sparsesolve.operators import near_field_compiled as compiled

REPEATS = 9
ROUNDS = 60


def matrix(A):
    """The dense matrix, a few frequencies of unit data at a time."""
    rows = np.empty(A.shape, "complex64")
    unit = np.zeros((A.out_shape[1] * A.out_shape[2], *A.out_shape), "complex64")
    per_frequency = len(unit)
    for k in range(A.out_shape[0]):
        unit[:] = 0
        unit[:, k] = np.eye(per_frequency).reshape(per_frequency, *A.out_shape[1:])
        part = np.conj(A.adjoint(unit)).reshape(per_frequency, -1)
        rows[k * per_frequency : (k + 1) * per_frequency] = part
    return rows


def reference():
    """Return the operator, an image and data."""
    scan = simulate_scan().scan
    A = NearFieldMIMO.from_scan(scan, reference_grid())
    return A, A.adjoint(scan.data), scan.data


def directions(A, x, y):
    """Return both products by name."""
    return {"forward": lambda: A.forward(x), "adjoint": lambda: A.adjoint(y)}


def main():
    """Print one line a direction and form."""
    A, x, y = reference()
    M = matrix(A)
    flat_x, flat_y = x.reshape(-1), y.reshape(-1)
    np.testing.assert_allclose(
        M @ flat_x, A.forward(x).reshape(-1), atol=1e-4 * np.abs(A.forward(x)).max()
    )
    image, data = flat_x[None], y.reshape(1, y.shape[0], -1)
    cases = {
        "forward, kernel": (lambda: A.forward(x), lambda: M @ flat_x),
        "adjoint, kernel": (lambda: A.adjoint(y), lambda: flat_y.conj() @ M),
        "forward, array API": (lambda: A._plain_forward(image), lambda: M @ flat_x),
        "adjoint, array API": (
            lambda: A._plain_adjoint(data),
            lambda: flat_y.conj() @ M,
        ),
    }
    print(f"memory: {A.needed_bytes / 2**20:.0f} MiB, dense {M.nbytes / 2**20:.0f} MiB")
    print(f"{'':22}{'ours ms':>9}{'dense ms':>9}{'dense/ours':>11}")
    numba.set_num_threads(1)
    for name, (ours, dense) in cases.items():
        a, b, ratio = alternate(ours, dense, repeats=REPEATS)
        print(f"{name:22}{1e3 * a:9.1f}{1e3 * b:9.1f}{ratio:11.2f}")
    if numba.config.NUMBA_NUM_THREADS > 1:
        two_threads(directions(A, x, y))


def two_threads(cases):
    """Print how much faster two threads are than one.

    Seven calls in a row and not one by one: OpenMP makes its threads anew whenever
    their number changes.
    """
    print(
        f"{'':22}{'two ms':>9}{'one ms':>9}{'one/two':>11}"
        f"{'two processes':>15}{'share':>7}"
    )

    def median(n, run):
        numba.set_num_threads(n)
        run()
        return statistics.median(seconds(run) for _ in range(7))

    for name, run in cases.items():
        rows = []
        with Neighbour(name) as busy:
            for _ in range(ROUNDS):
                two, one = median(2, run), median(1, run)
                with busy():
                    beside = median(1, run)
                most = one / beside + one / busy.seconds.value
                rows.append((two, one, one / two, most))
        two, one, ratio, most = map(statistics.median, zip(*rows, strict=True))
        share = statistics.median(row[2] / row[3] for row in rows)
        print(
            f"{name:22}{1e3 * two:9.1f}{1e3 * one:9.1f}{ratio:11.2f}{most:15.2f}"
            f"{share:7.2f}"
        )


def tried():
    """Print the forward product by tiles a group, and both beside a bare loop."""
    A, x, y = reference()
    numba.set_num_threads(2)
    usual = compiled._TILES

    def forward_of(tiles):
        def run():
            compiled._TILES = tiles
            A.forward(x)

        return run

    for tiles in (1, 2, 8, 16):
        a, b, ratio = alternate(forward_of(tiles), forward_of(usual), repeats=ROUNDS)
        print(f"{tiles:2} tiles {1e3 * a:5.1f} ms, {usual}: {1e3 * b:.1f} {ratio:.3f}")
    compiled._TILES = usual
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=loop, daemon=True)
    process.start()
    for name, run in directions(A, x, y).items():
        run()
        taken = statistics.median(seconds(run) for _ in range(ROUNDS))
        print(f"{name} beside a bare loop: {1e3 * taken:.1f} ms")
    process.terminate()


def loop():
    """Take a core."""
    while True:
        pass


class Neighbour:
    """Another process, which does the same on one thread within ``with busy():``.

    Its median seconds are in `seconds` then: two processors need not be equally fast.
    """

    def __init__(self, name):
        context = multiprocessing.get_context("spawn")
        self.wanted, self.working = context.Event(), context.Event()
        self.seconds = context.Value("d", 0.0)
        arguments = name, self.wanted, self.working, self.seconds
        self.process = context.Process(target=repeat, args=arguments, daemon=True)

    @contextlib.contextmanager
    def __call__(self):
        self.wanted.set()
        while not self.working.wait(1):
            if not self.process.is_alive():
                raise RuntimeError("the other process has ended")
        try:
            yield
        finally:
            self.wanted.clear()
            while self.working.is_set():
                time.sleep(0.001)

    def __enter__(self):
        self.process.start()
        with self():  # until it has loaded what is compiled
            return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()


def repeat(name, wanted, working, median):
    """Apply the operator whenever that is wanted."""
    numba.set_num_threads(1)
    run = directions(*reference())
    run[name]()
    while wanted.wait():
        working.set()
        taken = []
        while wanted.is_set():
            taken.append(seconds(run[name]))
        median.value = statistics.median(taken) if taken else math.inf
        working.clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tried", action="store_true")
    print(machine("numpy", "numba"))
    tried() if parser.parse_args().tried else main()
