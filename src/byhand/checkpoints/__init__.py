"""Models on disk: one module a format, which recognises, reads and (mostly) writes it.

A format module has NAME (what ``format=`` takes), TITLE (for people), ``recognise(path)`` (whether a file or folder is
one, from its content), ``read(path)`` (a Checkpoint; its weights are views of mapped files) and, where it can be
written, ``write(parts, path, progress)``, which writes to a path where nothing is yet.
"""
