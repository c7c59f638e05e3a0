# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ipvs_netmask
short_description: An IPv4 netmask with dots
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Takes a C(persistence_netmask) of an IPv4 service, which may be a prefix length or a netmask, and returns the netmask as keepalived's
    C(persistence_granularity) wants it.
positional: []
options:
  _input:
    description: A prefix length from V(0) to V(32), or a netmask such as V(255.255.255.0).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Readers of one /24 stay with one real server
  ansible.builtin.debug:
    msg: "persistence_granularity {{ 24 | imageops.lvs_fastdfs.ipvs_netmask }}"
    # => persistence_granularity 255.255.255.0
"""

RETURN = r"""
_value:
  description: The netmask.
  type: str
  sample: 255.255.255.0
"""

import ipaddress

from ansible.errors import AnsibleFilterError


def ipvs_netmask(mask):
    try:
        return str(ipaddress.ip_network(f"0.0.0.0/{mask}").netmask)
    except ValueError as error:
        raise AnsibleFilterError(f"ipvs_netmask: {error}") from error


class FilterModule:
    """A netmask as keepalived wants it."""

    def filters(self):
        return {"ipvs_netmask": ipvs_netmask}
