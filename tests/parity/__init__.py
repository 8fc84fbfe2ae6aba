"""byhand against PyTorch and transformers: `make parity`, in an environment that has both."""
