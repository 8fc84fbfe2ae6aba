"""Stub by the lead so that run.py imports; the aliases helper replaces this file (delete it if you make a folder)."""


def find(program, name):
    return None


def names(program, address):
    return []
