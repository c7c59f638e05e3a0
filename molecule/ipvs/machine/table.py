"""The collection's table in this kernel, without Ansible around it."""

from __future__ import annotations

import os
import subprocess
import time

from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import policy
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import (
    Host,
    Outcome,
    loaded,
    offered,
    reconcile,
    shown,
)

EVERYTHING = ["0.0.0.0/0", "::/0", "fwmark:1-4294967295"]


def restore(text: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["ipvsadm", "-R"], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def host(ipvsadm=restore) -> Host:
    return Host(ipvsadm, loaded, lambda: offered(os.uname().release), shown)


def hold(services: list, ipvsadm=restore, **rest) -> Outcome:
    """The kernel holds these services and no others."""
    return reconcile(host(ipvsadm), desired(services, **rest), policy("services", EVERYTHING))


def until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
