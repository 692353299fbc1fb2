from .base import HierarchicalPrior as HierarchicalPrior
from .base import Prior as Prior
from .base import Sum as Sum
from .base import Term as Term
from .base import Zero as Zero
from .total_variation import TotalVariation as TotalVariation
from .sbl import SBL as SBL
