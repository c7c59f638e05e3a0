#!/usr/bin/python
# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipvs
short_description: Make the kernel's IPVS table hold what is asked
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Takes virtual services with their real servers as data, reads the kernel's table with C(ipvsadm), computes the difference,
    applies it in one process, reads the table again, and succeeds only if it holds what was asked.
  - Where a service gets real servers and loses others, a process of its own writes first what it gets, so that its pool is not empty even
    where the kernel refuses what is new.
  - All or nothing. Wrong input changes nothing, and where the kernel refuses a part, the table before is put back and the
    message names what was refused.
  - Additions and edits come first, then weights that fall to 0, then deletions, so that no pool is empty for a moment.
  - Entries that are not named stay, unless O(purge) says otherwise. The table is never cleared.
requirements:
  - ipvsadm (1.26 or later; 1.30 for O(services[].servers[].tunnel_type))
  - Linux with IPVS (module C(ip_vs), which is loaded when it is needed)
  - root
options:
  services:
    description:
      - A list of mappings, the virtual services. What is wrong with one is said with the service, the real server and the field.
      - Takes what M(imageops.lvs_fastdfs.ipvs_info) returns as RV(imageops.lvs_fastdfs.ipvs_info#module:services) as it is. The counters in
        it are passed over.
    type: raw
    default: []
    suboptions:
      address:
        description:
          - Virtual address, IPv4 or IPv6. Give this and O(services[].port), or O(services[].fwmark).
          - Equal addresses written differently are equal.
        type: str
      port:
        description:
          - Port, V(0) to V(65535). Required with O(services[].address).
          - V(0) stands for every port and needs O(services[].persistence_timeout).
        type: int
      protocol:
        description:
          - V(tcp), V(udp) or V(sctp). V(tcp) when left out. Goes with O(services[].address).
        type: str
      fwmark:
        description:
          - Firewall mark, V(1) to V(4294967295), instead of address, port and protocol.
        type: int
      family:
        description:
          - V(ipv4) or V(ipv6), for O(services[].fwmark) only. V(ipv4) when left out.
        type: str
      scheduler:
        description:
          - Any scheduler that the kernel has, such as V(rr), V(wrr), V(wlc), V(sh) or V(mh).
        type: str
        default: wlc
      scheduler_flags:
        description:
          - V(mh-port) and V(mh-fallback) for scheduler V(mh), V(sh-port) and V(sh-fallback) for V(sh), and V(flag-1), V(flag-2),
            V(flag-3) for others.
        type: list
        elements: str
        default: []
      persistence_timeout:
        description:
          - Seconds for which a client stays with its real server. Left out, the service is not persistent.
        type: int
      persistence_netmask:
        description:
          - Prefix length that groups clients for persistence, or a dotted mask that is none, such as V(255.0.255.0).
          - The whole address when left out.
        type: raw
      persistence_engine:
        description:
          - Persistence engine, such as V(sip).
        type: str
      one_packet:
        description:
          - V(true) schedules each datagram by itself. For O(services[].protocol=udp) and O(services[].fwmark).
        type: bool
        default: false
      state:
        description:
          - V(present), or V(absent) to remove the service with its real servers.
        type: str
        default: present
      servers:
        description:
          - Real servers. Left out, those that stand are not touched, whatever O(purge) says.
        type: list
        elements: dict
        suboptions:
          address:
            description:
              - Address of the real server, required. One of another family than its service needs O(services[].servers[].forward=tunnel).
            type: str
          port:
            description:
              - Port of the real server, the service's when left out, V(0) for a O(services[].fwmark).
              - Only O(services[].servers[].forward=nat) and firewall marks can have another one than the service's; for others the
                service's port is taken, as ipvsadm does.
            type: int
          forward:
            description:
              - V(dr) for direct routing, V(tunnel) or V(nat).
            type: str
            default: dr
          weight:
            description:
              - V(0) to V(65535). V(0) is drained, it gets no new connections.
            type: int
            default: 1
          upper_threshold:
            description:
              - Connections beyond which the real server gets no new ones. V(0) for no limit.
            type: int
            default: 0
          lower_threshold:
            description:
              - Connections below which it gets new ones again. At most O(services[].servers[].upper_threshold).
            type: int
            default: 0
          tunnel_type:
            description:
              - V(ipip), V(gue) or V(gre), with O(services[].servers[].forward=tunnel). V(ipip) when left out.
            type: str
          tunnel_port:
            description:
              - UDP port. Required with O(services[].servers[].tunnel_type=gue), and only there.
            type: int
          tunnel_checksum:
            description:
              - V(none), V(checksum) (gue and gre) or V(remote) (gue). V(none) when left out.
            type: str
  purge:
    description:
      - V(none) removes nothing that is not named with O(services[].state=absent).
      - V(servers) removes real servers that a named service should not have.
      - V(services) does so too, and removes services inside O(purge_scope) that are not named.
    type: str
    choices: [none, servers, services]
    default: none
  purge_scope:
    description:
      - What purge may touch. Networks of virtual addresses in CIDR notation, and firewall marks such as V(fwmark:1-99).
      - Required with O(purge=services). When it is given, real servers too are purged inside it only.
    type: list
    elements: str
    default: []
  keep_weights:
    description:
      - V(none) sets each weight as it is asked.
      - V(drained) leaves a weight of 0 that stands in the kernel, so that a run does not undo a drain.
      - V(all) leaves every weight that stands in the kernel, and gives weights to new real servers only.
    type: str
    choices: [none, drained, all]
    default: none
  timeouts:
    description:
      - A mapping, the connection timeouts in seconds, V(1) to V(2678400). Those left out are not touched.
    type: raw
    suboptions:
      tcp:
        description: For established TCP connections.
        type: int
      tcp_fin:
        description: For TCP connections after a FIN.
        type: int
      udp:
        description: For UDP.
        type: int
  sync_daemons:
    description:
      - A list of mappings, the connection sync daemons, at most one of each role. Left out, they are not touched. An empty list stops them.
    type: raw
    suboptions:
      role:
        description:
          - V(master) sends, V(backup) receives.
        type: str
        required: true
      interface:
        description: Network interface that carries the messages.
        type: str
        required: true
      sync_id:
        description: Number from V(0) to V(255) that tells clusters apart.
        type: int
        default: 0
attributes:
  check_mode:
    description: Computes the true plan and changes nothing, not even by loading a kernel module.
    support: full
  diff_mode:
    description: Shows the table before and after, a line for each service and real server.
    support: full
  platform:
    description: Linux.
    platforms: linux
    support: full
notes:
  - In check mode, a machine without ipvsadm or without C(ip_vs) counts as one with an empty table.
seealso:
  - module: imageops.lvs_fastdfs.ipvs_info
  - module: imageops.lvs_fastdfs.ipvs_drain
  - plugin: imageops.lvs_fastdfs.scheduler_weights
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Port 80 of one address goes to two image servers, and nobody else
  imageops.lvs_fastdfs.ipvs:
    services:
      - address: 192.0.2.10
        port: 80
        scheduler: wrr
        servers:
          - address: 192.0.2.21
            weight: 2
          - address: 192.0.2.22
    purge: servers
    keep_weights: drained

- name: All packets with mark 1 are balanced, whatever their port
  imageops.lvs_fastdfs.ipvs:
    services:
      - fwmark: 1
        scheduler: mh
        scheduler_flags: [mh-port]
        servers: "{{ image_servers }}"

- name: Services of our own addresses that are not listed here are gone, those of others stay
  imageops.lvs_fastdfs.ipvs:
    services: "{{ lvs_services }}"
    purge: services
    purge_scope: [192.0.2.0/28, "2001:db8:1::/64", "fwmark:1-99"]

- name: A service is gone
  imageops.lvs_fastdfs.ipvs:
    services:
      - address: 2001:db8::10
        port: 443
        state: absent

- name: Idle connections are kept for an hour, and their state goes to the other director
  imageops.lvs_fastdfs.ipvs:
    timeouts:
      tcp: 3600
    sync_daemons:
      - role: master
        interface: eth0
        sync_id: 1
"""

RETURN = r"""
problems:
  description:
    - What is wrong with the input, a sentence for each thing. Or each object that the kernel does not hold as it was asked, with the line
      that should have made it; of more than ten of these the message names ten.
  returned: failure
  type: list
  elements: str
  sample: ["services[0] (tcp 192.0.2.10 port 80), servers[1] (192.0.2.22): weight: must be an integer from 0 to 65535, not -1"]
plan:
  description: The lines for C(ipvsadm -R), in their order. In check mode those that would be run. Returned on failure too.
  returned: always
  type: list
  elements: str
  sample: ["-a -t 192.0.2.10:80 -r 192.0.2.22:80 -g -w 1 -x 0 -y 0"]
services:
  description: All services of the table as the kernel holds them afterwards, in the shape of O(services). In check mode, as they would be.
  returned: success
  type: list
  elements: dict
  sample:
    - address: 192.0.2.10
      port: 80
      protocol: tcp
      scheduler: wrr
      scheduler_flags: []
      one_packet: false
      state: present
      servers:
        - address: 192.0.2.22
          port: 80
          forward: dr
          weight: 1
          upper_threshold: 0
          lower_threshold: 0
timeouts:
  description: Connection timeouts afterwards, in seconds.
  returned: success
  type: dict
  sample: {tcp: 900, tcp_fin: 120, udp: 300}
sync_daemons:
  description: Connection sync daemons afterwards.
  returned: success
  type: list
  elements: dict
  sample: [{role: master, interface: eth0, sync_id: 1}]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import (
    KEEP_WEIGHTS,
    PURGE,
    policy,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.render import listing, table_shape
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import (
    IpvsError,
    Outcome,
    host,
    reconcile,
)


def _diff(module: AnsibleModule, outcome: Outcome) -> dict:
    if not module._diff:
        return {}
    return {"diff": {"before": listing(outcome.before), "after": listing(outcome.after)}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            # Raw, so that all that is in them is checked by desired(), whose messages name the service and the field.
            "services": {"type": "raw", "default": []},
            "purge": {"type": "str", "choices": list(PURGE), "default": "none"},
            "purge_scope": {"type": "list", "elements": "str", "default": []},
            "keep_weights": {"type": "str", "choices": list(KEEP_WEIGHTS), "default": "none"},
            "timeouts": {"type": "raw"},
            "sync_daemons": {"type": "raw"},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        rules = policy(params["purge"], params["purge_scope"], params["keep_weights"])
        wanted = desired(params["services"], params["timeouts"], params["sync_daemons"])
        outcome = reconcile(host(module), wanted, rules, module.check_mode)
    except InputError as error:
        module.fail_json(msg=str(error), problems=error.problems, plan=[])
    except IpvsError as error:
        module.fail_json(msg=str(error), problems=error.problems, plan=[step.line for step in error.plan])
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(
        changed=bool(outcome.steps),
        plan=[step.line for step in outcome.steps],
        **_diff(module, outcome),
        **table_shape(outcome.after),
    )


if __name__ == "__main__":
    main()
