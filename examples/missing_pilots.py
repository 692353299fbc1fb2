"""A quarter of the pilots is missing: the rest, and what the estimate says of itself.

python missing_pilots.py [folder]
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import sparsesolve as ss
from sparsesolve.applications import channel

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(1)
whole = channel.simulate(rng, 15, channel.IRSUplink(n_base=8, n_atoms=8))

mask = np.ones(whole.y.shape, bool)
mask.flat[rng.choice(mask.size, mask.size // 4, replace=False)] = False
y = np.where(mask, whole.y, np.nan)  # what is missing may be anything
part = replace(whole, y=y, mask=mask)
ss.save(folder / "pilots.h5", part)  # sparsesolve reconstruct pilots.h5 --out DIR
part = ss.load(folder / "pilots.h5")
print(part, part.operator, sep="\n")

for name, measurement in (("all", whole), ("three quarters", part)):
    found = channel.estimate(measurement)
    print(f"{name} of the pilots: NMSE {found.nmse:.2g}; {found.solution.message}")
    print("  posterior:", found.solution.choices["engine"])
low, high = found.channel_interval(0.9)
inside = (low <= np.abs(whole.channel)) & (np.abs(whole.channel) <= high)
print(f"in its 90 % interval: {inside.mean():.0%} of the channel's entries")
ss.plot.save(ss.plot.channel(found), folder / "missing_pilots.png")
