"""The formats: one module each, with what its config says, and how it is written where it can be."""
