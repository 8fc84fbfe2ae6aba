"""Models of a hub by name: found in the local cache (cache), chosen (plan), downloaded (download) over HTTP (reach)."""

from byhand.hub.cache import find, looks_like_name

__all__ = ["find", "looks_like_name"]
