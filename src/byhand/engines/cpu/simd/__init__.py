"""The vocabulary that kernels are written in, compiled, or in NumPy where compiling is turned off."""

from numba import float32, float64, int8, int32, int64, uint8, uint16
from numba.core import config

TYPES = float32, float64, int8, int32, int64, uint8, uint16  # of the numbers in arrays
COMPILED = not vars(config)["DISABLE_JIT"]

if COMPILED:
    from byhand.engines.cpu.simd.blocks import *  # noqa: F403
    from byhand.engines.cpu.simd.compiled import *  # noqa: F403
    from byhand.engines.cpu.simd.functions import *  # noqa: F403
    from byhand.engines.cpu.simd.memory import *  # noqa: F403
    from byhand.engines.cpu.simd.operations import *  # noqa: F403
    from byhand.engines.cpu.simd.scalars import *  # noqa: F403
else:
    from byhand.engines.cpu.simd.plain import *  # noqa: F403
