# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the options that the modules for FastDFS share."""

from __future__ import annotations

from . import wire

MAX_SECONDS = 86400.0  # far below what a socket can be told


def trackers(given: list[str]) -> list[wire.Address]:
    """``host`` or ``host:port`` each, which may repeat. Raises WireError."""
    try:
        addresses = [wire.address(text, wire.TRACKER_PORT) for text in given]
    except wire.WireError as error:
        raise wire.WireError(f"trackers: {error}") from None
    if not addresses:
        raise wire.WireError("trackers: is empty; name one tracker at least")
    return list(dict.fromkeys(addresses))


def seconds(params: dict, name: str, least: float) -> float:
    """The option of this name. Raises WireError when it is no number of seconds from ``least`` on."""
    if not least <= params[name] <= MAX_SECONDS:  # false for nan, too
        raise wire.WireError(f"{name}: must be seconds from {least} to {MAX_SECONDS:.0f}, not {params[name]}")
    return params[name]
