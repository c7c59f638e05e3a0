"""Write the simulator's two source archives: archives.py DIRECTORY. Prints their sha256 as one line of JSON."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

HERE, DESTINATION = Path(__file__).resolve().parent, Path(sys.argv[1])
DESTINATION.mkdir(parents=True, exist_ok=True)
sums = {}
for top in ("fastdfs-5.05", "libfastcommon-1.0.36"):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(
            p for p in (HERE / top).rglob("*") if p.is_file() and "__pycache__" not in p.parts
        ):
            entry = tarfile.TarInfo(
                str(path.relative_to(HERE))
            )  # owner, time and umask of this checkout stay out
            entry.size, entry.mode = path.stat().st_size, 0o755 if path.suffix == ".sh" else 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    archive = gzip.compress(raw.getvalue(), mtime=0)
    (DESTINATION / f"{top}-simulator.tar.gz").write_bytes(archive)
    sums[f"{top}-simulator.tar.gz"] = hashlib.sha256(archive).hexdigest()
print(json.dumps(sums))
