# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: scheduler_weights
short_description: Integer weights for real servers from their capacities
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Takes a mapping of host to capacity and returns a mapping of host to weight, in the same order.
  - The weights are the smallest integers by which every host's share of the load is within O(tolerance) of its share of the capacity. Where
    O(maximum) does not allow that, they are those that come closest.
  - A host that would get less than V(1) where the largest gets O(maximum) gets V(1), which is more than its share. It has no say in the
    weights of the others, which are then as large as O(maximum) allows, so that it gets as little too much as can be.
  - A host without capacity gets V(0), every other one at least V(1). More capacity never means less weight. Hosts of equal
    capacity get equal weights where that can be had within the tolerance. Capacities multiplied by any factor give the same weights.
positional: []
options:
  _input:
    description:
      - A mapping of host to a number, or to a mapping of resources such as C(vcpus) and C(link_mbps) to numbers.
    type: dict
    required: true
  maximum:
    description: The largest weight, V(1) to V(65535).
    type: int
    default: 100
  tolerance:
    description: How far a share may be from the ideal, relative to it.
    type: float
    default: 0.01
  drained:
    description: Hosts that get V(0). The others share the load as if these were not there.
    type: list
    elements: str
    default: []
  demand:
    description:
      - With resources, how much of each a unit of load takes. The scarcest resource of a host decides what it can take.
      - Resources that it does not name do not count.
      - Left out, load takes resources in the proportion in which the hosts that are not drained have them together.
    type: dict
"""

EXAMPLES = r"""
- name: A host of twice the size gets twice the load, and web3 nothing
  ansible.builtin.debug:
    msg: "{{ {'web1': 8, 'web2': 4, 'web3': 4} | imageops.lvs_fastdfs.scheduler_weights(drained=['web3']) }}"
    # => {"web1": 2, "web2": 1, "web3": 0}

- name: An image takes a thousandth of a processor and 0.2 Mbit/s
  ansible.builtin.debug:
    msg: "{{ groups.image_servers | imageops.lvs_fastdfs.host_capacities(hostvars)
             | imageops.lvs_fastdfs.scheduler_weights(demand={'vcpus': 0.001, 'link_mbps': 0.2}) }}"
"""

RETURN = r"""
_value:
  description: A mapping of host to weight.
  type: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.plugin_utils import weights


def scheduler_weights(capacities, maximum=100, tolerance=0.01, drained=(), demand=None):
    try:
        return weights.scheduler_weights(capacities, maximum, tolerance, drained, demand)
    except ValueError as error:
        raise AnsibleFilterError(f"scheduler_weights: {error}") from error


class FilterModule:
    """Scheduler weights from capacities."""

    def filters(self):
        return {"scheduler_weights": scheduler_weights}
