"""Write the simulator's two source archives into a directory: archives.py DEST. Prints their sha256 as one JSON line."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def archive(top: str) -> bytes:
    """The folder `top` as a tar.gz that depends on nothing but the files' names, modes and contents."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(
            p for p in (HERE / top).rglob("*") if p.is_file() and "__pycache__" not in p.parts
        ):
            entry = tarfile.TarInfo(str(path.relative_to(HERE)))
            entry.size, entry.mode = path.stat().st_size, 0o755 if path.suffix == ".sh" else 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return gzip.compress(raw.getvalue(), mtime=0)


def main(destination: Path) -> None:
    """Write both."""
    destination.mkdir(parents=True, exist_ok=True)
    archives = {f"{top}-simulator.tar.gz": archive(top) for top in ("fastdfs-5.05", "libfastcommon-1.0.36")}
    for name, content in archives.items():
        (destination / name).write_bytes(content)
    print(json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in archives.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
