"""Where data come from: the registry of data sets and generators of sample files."""

if __name__ != "sparsesolve.datasets":
    raise ImportError(
        "import sparsesolve.datasets, not datasets: one copy of each class"
    )
