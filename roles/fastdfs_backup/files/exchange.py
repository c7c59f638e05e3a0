# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both sides of the backup agree on: the lines of a list, and files that are replaced at once."""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

POSITION = r"[0-9a-f]{8}-\d{1,6}-\d{1,19}"
NAME = r"M[0-9A-F]{2}/[0-9A-F]{2}/[0-9A-F]{2}/[A-Za-z0-9_-][A-Za-z0-9_.-]{33,127}"
_ITEM = re.compile(rf"^(?P<gone>gone )?(?:(?P<version>{POSITION}) )?(?P<name>{NAME})\Z")


class Item(NamedTuple):
    """A line of a list: a file, which state of it when it may change, and whether it was gone before it could be shipped."""

    name: str
    version: str = ""
    gone: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, ["gone" if self.gone else "", self.version, self.name]))

    @property
    def place(self) -> str:
        """Where it lies in an inbox."""
        return f"versions/{self.version}/{self.name}" if self.version else self.name


def items(text: str) -> list[Item]:
    """The lines of a list; those that are none are left out, whoever wrote them."""
    matches = filter(None, map(_ITEM.match, text.splitlines()))
    return [Item(match["name"], match["version"] or "", bool(match["gone"])) for match in matches]


def listing(entries: list[Item], begin: str) -> str:
    """The text of a list, each line once; its last one says that it is whole, and behind which list it comes."""
    return "".join(f"{line}\n" for line in [*dict.fromkeys(map(str, entries)), f"after {begin}"])


def follows(text: str) -> str | None:
    """The position behind which a list comes; None when its end is missing."""
    match = re.search(rf"(?:^|\n)after ({POSITION})\n\Z", text)
    return match[1] if match else None


def replace(path: str, text: str) -> None:
    """The file has this text, or still the one before."""
    with open(f"{path}.new", "w") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


class Notice:
    """Files that say how a service is, written when that changes and every EVERY seconds: older ones are those of one that hangs."""

    EVERY = 15

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.at = 0.0

    def tell(self, texts: dict[str, str]) -> None:
        """``texts`` by path."""
        if texts == self.told and time.monotonic() - self.at < self.EVERY:
            return
        for path, text in texts.items():
            replace(path, text)
        self.told, self.at = texts, time.monotonic()
