"""Each unit that the collection writes is sandboxed; those of the daemons are looked at more closely beside what the daemons do."""

from __future__ import annotations

import re

# What `systemd-analyze security` may say at most: 10 is without any sandbox. The last two write to /proc/sys and load modules.
EXPOSURE = {
    "fdfs-trackerd.service": 2.0,
    "fdfs-storaged.service": 2.0,
    "fdfs-storaged-sync.service": 2.0,
    "firewall-image.service": 2.0,
    "lvs-director.service": 3.5,
    "lvs-realserver.service": 3.5,
}


def test_each_unit_of_ours_is_sandboxed(nodes):
    seen = set()
    for host in nodes("all"):
        ours = host.run("grep -l 'Ansible managed\\|imageops' /etc/systemd/system/*.service").stdout.split()
        for unit in (path.rsplit("/", 1)[1] for path in ours):
            last = host.check_output(f"systemd-analyze security --no-pager {unit}").splitlines()[-1]
            assert float(re.search(r"(\d+\.\d+)", last)[1]) <= EXPOSURE[unit], (host.name, last)
            seen.add(unit)
    assert seen == set(EXPOSURE)
