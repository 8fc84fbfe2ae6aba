"""The kernels and what turns steps into calls of them. Importing this package fills the tables of the builder."""

from byhand.engines.cpu.kernels import attention, elementwise, embedding, loss, norms, products, rotary, sampling

__all__ = ["attention", "elementwise", "embedding", "loss", "norms", "products", "rotary", "sampling"]
