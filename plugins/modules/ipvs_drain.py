#!/usr/bin/python
# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ipvs_drain
short_description: Take a real server out of service without breaking a connection, or put it back
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Sets the weight of a real server to 0, so that it gets no new connections, and waits until those that it has are gone, by counting
    them in the kernel. With O(state=active) it gets a weight again.
  - Changes nothing but the weight. Every other attribute of the real server stays, and every other entry of the table. Nothing is
    added or removed.
  - A real server that somebody removes from the table meanwhile counts as drained. If somebody gives it a weight again, the module fails.
requirements:
  - ipvsadm (1.26 or later; 1.30 where real servers are reached by GUE or GRE tunnels)
  - Linux with IPVS loaded
  - root
options:
  server:
    description:
      - The real server, as V(192.0.2.21), V(192.0.2.21:80), V(2001:db8::21), V([2001:db8::21]:80), or as a mapping with C(address)
        and C(port).
      - Without a port, it is meant with every port. Real servers of a firewall mark mostly have port V(0).
      - Equal addresses written differently are equal.
    type: raw
    required: true
  services:
    description:
      - A list of mappings, the virtual services in which it is meant. Left out, all those in which it stands.
      - Takes RV(weights) of an earlier run, which gives every entry the weight that it had then.
    type: raw
    suboptions:
      address:
        description: Virtual address. Give this and O(services[].port), or O(services[].fwmark).
        type: str
      port:
        description: Port of the service. Required with O(services[].address).
        type: int
      protocol:
        description: V(tcp), V(udp) or V(sctp). V(tcp) when left out. Goes with O(services[].address).
        type: str
      fwmark:
        description: Firewall mark, instead of address, port and protocol.
        type: int
      family:
        description: V(ipv4) or V(ipv6), for O(services[].fwmark) only. V(ipv4) when left out.
        type: str
      server_port:
        description: Port that the real server has in this service. The one of O(server) when left out.
        type: int
      weight:
        description: Weight for O(state=active) in this service. O(weight) when left out.
        type: int
  state:
    description:
      - V(drained) sets the weight to 0 and waits.
      - V(active) sets the weight that is given, and does not wait.
    type: str
    choices: [drained, active]
    default: drained
  weight:
    description:
      - A number from V(1) to V(65535), for O(state=active).
      - The kernel does not remember the weight that a drained server had. So one is required here or in O(services[].weight), unless
        the server has a weight already, which is left then.
    type: raw
  wait:
    description:
      - V(active) waits for connections that the kernel counts as active. These are TCP connections that are being opened or
        stand open, and SCTP associations.
      - V(all) waits for the inactive ones too. These are closing or closed, and the kernel forgets them after a timeout (TCP after
        a FIN 120 seconds, see O(imageops.lvs_fastdfs.ipvs#module:timeouts)).
      - With direct routing and tunnels a director sees only what clients send. A connection is inactive there as soon as the client
        has nothing more to send, though it may still be receiving. Use V(all) where that matters.
      - V(none) does not wait.
      - UDP is not waited for, as nothing says when a client is done. Neither are one-packet services, which keep no connections. A
        firewall mark may have both UDP and others. Where it has only inactive connections left, the kernel's list of connections
        tells their protocol, and UDP does not count.
    type: str
    choices: [active, all, none]
    default: active
  timeout:
    description:
      - Seconds to wait at most. V(0) looks once. A client that neither sends nor closes keeps its connection for 900 seconds after its
        last packet in the kernel's default.
    type: raw
    default: 300
  poll_interval:
    description:
      - Seconds from one look to the next, at least V(0.1). Where a look takes long, because the table is large, the pause after it is ten
        times as long as the look was.
    type: raw
    default: 1
  on_timeout:
    description:
      - V(fail) fails when connections are left, V(leave) leaves them and says so in RV(timed_out). The weight stays 0 in both cases.
    type: str
    choices: [fail, leave]
    default: fail
attributes:
  check_mode:
    description: Computes the true plan, changes nothing and does not wait.
    support: full
  diff_mode:
    description: Shows the table before and after, a line for each service and real server.
    support: full
  platform:
    description: Linux.
    platforms: linux
    support: full
notes:
  - Never loads a kernel module. Where IPVS is not loaded no real server stands, which is an error like that of a server that stands nowhere.
  - Run it on every director that has the table.
  - A later run of M(imageops.lvs_fastdfs.ipvs) keeps the drain with O(imageops.lvs_fastdfs.ipvs#module:keep_weights=drained).
  - Where Keepalived keeps the table, tell its health checks instead. It knows nothing of this weight.
  - Warns of what a weight of 0 means for clients. A persistent service sends its clients back to the drained server as long as the
    kernel's setting C(net.ipv4.vs.expire_quiescent_template) is 0. The schedulers C(sh) and C(mh) without their fallback flags, and
    C(dh), refuse clients that their hash assigns to it. A service whose last server is drained takes no new connections.
seealso:
  - module: imageops.lvs_fastdfs.ipvs
  - module: imageops.lvs_fastdfs.ipvs_info
"""

EXAMPLES = r"""
- name: The image server has no connections anywhere
  imageops.lvs_fastdfs.ipvs_drain:
    server: 192.0.2.21
  delegate_to: director
  register: drained

- name: It is back with the weights that it had
  imageops.lvs_fastdfs.ipvs_drain:
    server: 192.0.2.21
    services: "{{ drained.weights }}"
    state: active
  delegate_to: director

- name: It is back with the weight of the inventory
  imageops.lvs_fastdfs.ipvs_drain:
    server: 192.0.2.21
    state: active
    weight: "{{ image_weight }}"
  delegate_to: director

- name: Only HTTPS leaves it, within a minute or not, closed connections included
  imageops.lvs_fastdfs.ipvs_drain:
    server: "[2001:db8::21]:443"
    services:
      - address: 2001:db8::10
        port: 443
    wait: all
    timeout: 60
    on_timeout: leave
"""

RETURN = r"""
problems:
  description: What is wrong with the input, a sentence for each thing. The message has them all in one.
  returned: when the input is refused
  type: list
  elements: str
  sample: ["services[0] (tcp 192.0.2.10 port 80), servers[1] (192.0.2.22): weight: must be an integer from 0 to 65535, not -1"]
plan:
  description: The lines for C(ipvsadm -R), in their order. In check mode those that would be run. Returned on failure too.
  returned: always
  type: list
  elements: str
  sample: ["-e -f 1 -r 192.0.2.21:0 -g -w 0 -x 0 -y 0"]
weights:
  description:
    - The weights before, in the shape of O(services), to be given back with O(state=active). A run on a server that is drained already
      finds V(0), which is no weight to give back.
  returned: success, or when connections are left
  type: list
  elements: dict
  sample: [{fwmark: 1, family: ipv4, server_port: 0, weight: 3}]
left:
  description:
    - The entries of the server that still have connections of any kind, those included that were not waited for, with C(active_connections)
      and C(inactive_connections). In check mode as they are now.
  returned: success, or when connections are left
  type: list
  elements: dict
  sample: [{fwmark: 1, family: ipv4, server_port: 0, active_connections: 0, inactive_connections: 12}]
timed_out:
  description: Whether connections that O(wait) waits for were left when O(timeout) was over.
  returned: success, or when connections are left
  type: bool
elapsed:
  description: Seconds that were waited.
  returned: success, or when connections are left
  type: float
  sample: 12.1
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.drain import (
    ON_TIMEOUT,
    STATES,
    WAIT,
    Result,
    Surroundings,
    counts_shape,
    drain,
    request,
    still_busy,
    weights_shape,
)
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.render import listing
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import IpvsError, host


def _diff(module: AnsibleModule, result: Result) -> dict:
    if not module._diff:
        return {}
    return {"diff": {"before": listing(result.before), "after": listing(result.after)}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "server": {"type": "raw", "required": True},
            # Raw, so that request() checks it, whose messages name the service and the field.
            "services": {"type": "raw"},
            "state": {"type": "str", "choices": list(STATES), "default": "drained"},
            "weight": {"type": "raw"},
            "wait": {"type": "str", "choices": list(WAIT), "default": "active"},
            "timeout": {"type": "raw", "default": 300},
            "poll_interval": {"type": "raw", "default": 1},
            "on_timeout": {"type": "str", "choices": list(ON_TIMEOUT), "default": "fail"},
        },
        supports_check_mode=True,
    )
    try:
        asked = request(module.params)
        result = drain(host(module), asked, Surroundings(), module.check_mode)
    except InputError as error:
        module.fail_json(msg=str(error), problems=error.problems, plan=[])
    except IpvsError as error:
        module.fail_json(msg=str(error), plan=[step.line for step in error.plan])
    for warning in result.warnings:
        module.warn(warning)
    returned = {
        "changed": bool(result.steps),
        "plan": [step.line for step in result.steps],
        "weights": weights_shape(result.weights),
        "left": counts_shape(result.counts),
        "timed_out": bool(result.left),
        "elapsed": round(result.elapsed, 1),
        **_diff(module, result),
    }
    if result.left and module.params["on_timeout"] == "fail":
        module.fail_json(msg=still_busy(asked, result), **returned)
    module.exit_json(**returned)


if __name__ == "__main__":
    main()
