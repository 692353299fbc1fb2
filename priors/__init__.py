"""Priors of sparsesolve; import them as `sparsesolve.priors`."""

import lazy_loader as _lazy

if __name__ != "sparsesolve.priors":
    raise ImportError(
        "import sparsesolve.priors: a second copy of its classes would load"
    )

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
