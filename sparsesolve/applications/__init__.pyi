from . import channel as channel
from . import merit as merit
from . import radar as radar
from . import radar_simulation as radar_simulation
from . import unmixing as unmixing
