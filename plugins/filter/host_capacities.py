# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_capacities
short_description: Capacities of hosts from a host variable or from facts
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Takes names of hosts and returns a mapping of host to capacity, for the filter P(imageops.lvs_fastdfs.scheduler_weights#filter).
  - A host's own variable comes first. Without it, its facts say how many processors it has (C(vcpus)) and how fast the interface of its default
    route is (C(link_mbps)).
  - A resource that is not known of every host is left out for all, so that hosts stay comparable. Virtual network cards often do not know
    their speed.
positional: hostvars
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  variable:
    description: Name of the host variable, which holds a number or a mapping of resources. Give it to all hosts as a number, or to none.
    type: str
    default: image_cluster_capacity
"""

EXAMPLES = r"""
- name: Weights follow the hardware
  ansible.builtin.set_fact:
    image_weights: "{{ groups.image_servers | imageops.lvs_fastdfs.host_capacities(hostvars)
                       | imageops.lvs_fastdfs.scheduler_weights(demand={'vcpus': 1}) }}"
"""

RETURN = r"""
_value:
  description: A mapping of host to capacity.
  type: dict
  sample: {"web1": {"vcpus": 8, "link_mbps": 10000}, "web2": {"vcpus": 4, "link_mbps": 1000}}
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import weights


def host_capacities(hosts, hostvars, variable=weights.CAPACITY_VARIABLE):
    try:
        return weights.host_capacities(hosts, hostvars, variable)
    except ValueError as error:
        raise AnsibleFilterError(f"host_capacities: {error}") from error


class FilterModule:
    """Capacities of hosts."""

    def filters(self):
        return {"host_capacities": host_capacities}
