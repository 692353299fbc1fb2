from .admm import ADMM as ADMM
from .alternating import AlternatingMinimization as AlternatingMinimization
from .archetype_descent import ArchetypeDescent as ArchetypeDescent
from .base import Need as Need
from .base import Solver as Solver
from .primal_dual import PrimalDual as PrimalDual
from .proximal_gradient import ProximalGradient as ProximalGradient
from .variational_em import VariationalEM as VariationalEM
