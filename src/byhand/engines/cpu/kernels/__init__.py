"""The kernels and what turns steps into calls of them. Importing this package fills builder.LOWERINGS."""

from byhand.engines.cpu.kernels import attention, elementwise, embedding, loss, norms, products, rotary, sampling

__all__ = ["attention", "elementwise", "embedding", "loss", "norms", "products", "rotary", "sampling"]
