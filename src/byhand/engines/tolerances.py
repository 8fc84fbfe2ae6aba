"""How far an engine's values may lie from the reference engine's in float64: the one table of tolerances.

Each figure is the largest difference of a value divided by the largest size of that value. Weights are the same on both
sides, those in blocks (q8_0, q4_0) as the numbers that the blocks stand for.
"""

TOLERANCES: dict[tuple[str, str], float] = {
    ("reference", "float64"): 1e-10,  # against other implementations, in `make parity`
    ("reference", "float32"): 5e-5,
    ("cpu", "float32"): 5e-5,
    (
        "cpu",
        "int8",
    ): 5e-2,  # a product's inputs are rounded to 8 bits: half of 1/127 of the largest of 32, at every step
}
