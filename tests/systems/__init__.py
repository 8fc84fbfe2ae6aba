"""The five systems that byhand must contain: every figure and sentence about them, asserted."""
