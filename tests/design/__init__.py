"""Tests that hold the design: layers, budgets, import time, documents, examples, commands."""
