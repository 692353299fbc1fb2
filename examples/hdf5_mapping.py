"""A foreign HDF5 file, read by saying where things are: nothing is converted on disk.

Somebody stored real and imaginary parts apart, in millivolts, receivers first, and
frequencies in GHz.
"""

import tempfile
from pathlib import Path

import h5py
import numpy as np

import sparsesolve as ss
from sparsesolve import Field

rng = np.random.default_rng(0)
path = Path(tempfile.mkdtemp()) / "foreign.h5"
with h5py.File(path, "w") as file:
    file["scan/re"] = rng.standard_normal((4, 3, 11))  # (rx, tx, frequency), mV
    file["scan/im"] = rng.standard_normal((4, 3, 11))
    file["f"] = np.linspace(4, 6, 11)  # GHz
    file["positions/tx"] = 100 * rng.standard_normal((3, 3))  # mm
    file["positions/rx"] = 100 * rng.standard_normal((4, 3))

scan = ss.load(
    path,
    kind="near_field_mimo",
    mapping={
        "data": Field("scan/re", imag="scan/im", axes=("rx", "tx", "freq"), unit="mV"),
        "freq": Field("f", unit="GHz"),
        "tx": Field("positions/tx", unit="mm"),
        "rx": Field("positions/rx", unit="mm"),
        "speed": 2.2e8,  # m/s, a constant that is not in the file
    },
)
print(scan)
ss.save(path.with_name("ours.h5"), scan)
again = ss.load(path.with_name("ours.h5"))
print("the same after saving:", np.array_equal(again.data, scan.data))
