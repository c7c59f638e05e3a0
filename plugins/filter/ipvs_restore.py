# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ipvs_restore
short_description: The text by which ipvsadm makes a table
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Takes virtual services in the shape of O(imageops.lvs_fastdfs.ipvs#module:services) and returns what C(ipvsadm -R) makes exactly
    that table from, when it is empty before. Services with C(state=absent) are left out.
positional: []
options:
  _input:
    description: Virtual services.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: The table is restored at boot
  ansible.builtin.copy:
    content: "{{ lvs_services | imageops.lvs_fastdfs.ipvs_restore }}"
    dest: /etc/ipvsadm.rules
    mode: "0644"
"""

RETURN = r"""
_value:
  description: Lines for C(ipvsadm -R).
  type: str
  sample: "-A -t 192.0.2.10:80 -s wrr\n-a -t 192.0.2.10:80 -r 192.0.2.21:80 -g -w 1 -x 0 -y 0\n"
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import Table
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import plan


def ipvs_restore(services):
    try:
        steps = plan(Table(), Table(desired(services).services))
    except ValueError as error:
        raise AnsibleFilterError(f"ipvs_restore: {error}") from error
    return "".join(f"{step.line}\n" for step in steps)


class FilterModule:
    """A table as ipvsadm's text."""

    def filters(self):
        return {"ipvs_restore": ipvs_restore}
