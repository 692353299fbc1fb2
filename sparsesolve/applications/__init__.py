"""Applications: from a measurement to a Problem, and from a Solution to an image."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
