"""The cpu engine: plans of compiled kernels."""
