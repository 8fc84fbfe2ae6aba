"""Tests of every operator in the registry; a new operator is tested by being registered."""
