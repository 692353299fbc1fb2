"""Operators of sparsesolve; import them as `sparsesolve.operators`."""

import lazy_loader as _lazy

if __name__ != "sparsesolve.operators":
    raise ImportError(
        "import sparsesolve.operators: a second copy of its classes would load"
    )

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
