# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are what they were or what they shall be, also after a power cut."""

from __future__ import annotations

import os


def flush(path: str) -> None:
    """What is in this file, or what was made and renamed in this folder, is on its disk."""
    at = os.open(path, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)


def write(path: str, text: str) -> None:
    """The file has this text, or still the one before."""
    with open(f"{path}.new", "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.new", path)
    flush(os.path.dirname(path))
