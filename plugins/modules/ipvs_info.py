#!/usr/bin/python
# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipvs_info
short_description: Read the kernel's IPVS table with its counters
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Returns virtual services, real servers, their connections, packets, bytes and rates, the timeouts and the sync daemons, read in one
    process.
  - Changes nothing and never loads a kernel module. Where the kernel has no IPVS loaded, RV(available) is false and the table is empty.
requirements:
  - ipvsadm (1.26 or later)
  - root, where IPVS is loaded
options: {}
attributes:
  check_mode:
    description: Does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  platform:
    description: Linux.
    platforms: linux
    support: full
seealso:
  - module: imageops.lvs_fastdfs.ipvs
"""

EXAMPLES = r"""
- name: The table is known
  imageops.lvs_fastdfs.ipvs_info:
  register: table

- name: Connections of each real server are shown
  ansible.builtin.debug:
    msg: "{{ item.1.address }}: {{ item.1.active_connections }} of {{ item.0.connections }} connections so far"
  loop: "{{ table.services | subelements('servers') }}"
"""

RETURN = r"""
available:
  description: Whether the kernel has IPVS loaded and ipvsadm is there to read it.
  returned: success
  type: bool
version:
  description: Version of ipvsadm. Null when RV(available) is false.
  returned: success
  type: str
  sample: "1.31"
services:
  description:
    - Virtual services in the shape of the option O(imageops.lvs_fastdfs.ipvs#module:services), with the counters beside the settings.
    - That option takes them as they are, with the counters.
    - A service has the sums of C(active_connections) and C(inactive_connections) of its real servers.
  returned: success
  type: list
  elements: dict
  contains:
    active_connections:
      description: TCP connections that are being opened or stand open, and SCTP associations. Real servers have it too, like all below.
      type: int
      returned: always
    inactive_connections:
      description: Connections in any other state now, and all of UDP.
      type: int
      returned: always
    connections:
      description: Connections since the service is there.
      type: int
      returned: always
    in_packets:
      description: Packets from clients. With direct routing and tunnels these are all that a director sees.
      type: int
      returned: always
    in_bytes:
      description: Bytes from clients.
      type: int
      returned: always
    out_packets:
      description: Packets to clients that passed here.
      type: int
      returned: always
    out_bytes:
      description: Bytes to clients that passed here.
      type: int
      returned: always
    connections_per_second:
      description: Rate of new connections, an average of the last seconds.
      type: int
      returned: always
    in_packets_per_second:
      description: Rate of packets from clients.
      type: int
      returned: always
    in_bytes_per_second:
      description: Rate of bytes from clients.
      type: int
      returned: always
    out_packets_per_second:
      description: Rate of packets to clients.
      type: int
      returned: always
    out_bytes_per_second:
      description: Rate of bytes to clients.
      type: int
      returned: always
timeouts:
  description: Connection timeouts in seconds.
  returned: success
  type: dict
  sample: {tcp: 900, tcp_fin: 120, udp: 300}
sync_daemons:
  description: Connection sync daemons.
  returned: success
  type: list
  elements: dict
  sample: [{role: master, interface: eth0, sync_id: 1}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.parse import Listing
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.render import counted_shape
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import (
    READ_COUNTERS,
    IpvsError,
    host,
    read,
)


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    machine = host(module)
    loaded = machine.loaded()
    available = loaded and machine.ipvsadm is not None
    if loaded and not available:
        module.warn("ipvsadm is not installed: the table that the kernel holds cannot be read")
    try:
        listing = read(machine.ipvsadm, READ_COUNTERS) if available else Listing()
    except IpvsError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        available=available,
        version=listing.version,
        **counted_shape(listing.table(), listing.numbers),
    )


if __name__ == "__main__":
    main()
