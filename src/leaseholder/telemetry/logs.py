"""Logs: what may speak at which level.

Libraries that log requests, headers or bodies are kept above the level at which they do so,
whatever level the administrator chose: credentials are in those.
"""

import logging
from typing import Final

CHATTY: Final = {
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "kubernetes": logging.INFO,
    "kubernetes.aio": logging.INFO,
    "aiohttp": logging.WARNING,
    "asyncio": logging.WARNING,
}


def quieten() -> None:
    """Keep the libraries quiet that would log what must not be logged."""
    for name, level in CHATTY.items():
        logging.getLogger(name).setLevel(level)
