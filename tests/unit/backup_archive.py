"""What lies in the archive of a backup host."""

from __future__ import annotations

from pathlib import Path


def archived(backup: Path, name: str) -> bytes | None:
    path = backup / "archive/group1" / name
    return path.read_bytes() if path.exists() else None


def everything(backup: Path) -> list[str]:
    return sorted(
        str(each.relative_to(backup / "archive"))
        for each in (backup / "archive").rglob("*")
        if each.is_file()
    )
