"""Write the simulator's two source archives: archives.py DIRECTORY. Prints their sha256 as one line of JSON."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

HERE, DESTINATION, sums = Path(__file__).resolve().parent, Path(sys.argv[1]), {}
DESTINATION.mkdir(parents=True, exist_ok=True)
for top in ("fastdfs-5.05", "libfastcommon-1.0.36"):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(p for p in (HERE / top).rglob("*.*") if p.suffix != ".pyc"):
            entry = tarfile.TarInfo(str(path.relative_to(HERE)))  # not this checkout's owner, time and umask
            entry.size, entry.mode = path.stat().st_size, 0o755 if path.suffix == ".sh" else 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    archive, name = gzip.compress(raw.getvalue(), mtime=0), f"{top}-simulator.tar.gz"
    (DESTINATION / name).write_bytes(archive)
    sums[name] = hashlib.sha256(archive).hexdigest()
print(json.dumps(sums))
