#!/usr/bin/python
# Copyright: imageops.lvs_fastdfs contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module image_probe: asks an address several times and says who answered what."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_probe
short_description: Ask a URL several times and say which image server answered
version_added: 0.1.0
description:
  - Requests a URL a number of times from the managed host, each time over a new connection, and reports for every answer the server that
    gave it, the status, the size and the SHA-256 of the body.
  - It changes nothing, and runs in check mode as well.
options:
  urls:
    description: The URLs to ask for, C(http) or C(https); each is asked for O(count) times.
    type: list
    elements: str
    required: true
  count:
    description: How often to ask for each URL.
    type: int
    default: 1
  server_header:
    description: The answer header in which an image server names itself.
    type: str
    default: X-Image-Server
  validate_certs:
    description: Whether the certificate of an C(https) server must be valid for the URL's host. Few certificates name an address.
    type: bool
    default: true
  timeout:
    description: Seconds that one request may take.
    type: float
    default: 5.0
attributes:
  check_mode:
    description: Runs in check mode, since it only reads.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
author:
  - imageops (@imageops)
"""

EXAMPLES = r"""
- name: Twenty answers of the VIP are known
  imageops.lvs_fastdfs.image_probe:
    urls: [http://192.168.10.251/]
    count: 20
  register: probe
"""

RETURN = r"""
answers:
  description: One entry a request, in their order.
  returned: always
  type: list
  elements: dict
  contains:
    url:
      description: The URL that was asked for.
      type: str
    server:
      description: Who answered, by O(server_header); empty when the answer does not say.
      type: str
    status:
      description: The HTTP status; 0 when there was no answer.
      type: int
    error:
      description: Why there was no answer; else empty.
      type: str
    size:
      description: Bytes of the body.
      type: int
    sha256:
      description: SHA-256 of the body, hexadecimal.
      type: str
    content_type:
      description: The answer's content type.
      type: str
    seconds:
      description: How long the request took.
      type: float
servers:
  description: How many answers with status 200 each server gave.
  returned: always
  type: dict
failures:
  description: How many requests had no answer or another status than 200.
  returned: always
  type: int
"""

import hashlib
import time
from collections import Counter
from http.client import HTTPException
from urllib.error import HTTPError, URLError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url


def ask(url, server_header, timeout, validate_certs=True):
    """One request over a connection of its own; what went wrong is in the answer, nothing is raised for it."""
    begin = time.monotonic()
    answer = {"url": url, "server": "", "status": 0, "error": "", "size": 0, "sha256": "", "content_type": ""}
    try:
        try:
            # No proxy stands between a reader and the VIP, whatever the environment says.
            response = open_url(
                url,
                timeout=timeout,
                use_proxy=False,
                validate_certs=validate_certs,
                follow_redirects="none",
                headers={"Connection": "close"},
            )
        except HTTPError as error:
            response = error
        body = response.read()
        answer.update(
            server=response.headers.get(server_header, "") or "",
            status=response.code,
            size=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            content_type=response.headers.get("Content-Type", "") or "",
        )
    except (URLError, HTTPException, OSError) as error:
        answer["error"] = str(getattr(error, "reason", "") or error)
    answer["seconds"] = round(time.monotonic() - begin, 4)
    return answer


def summary(answers):
    """Who answered how often with status 200, and how many did not."""
    good = [each for each in answers if each["status"] == 200]
    return {"servers": dict(Counter(each["server"] for each in good)), "failures": len(answers) - len(good)}


def main():
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "count": {"type": "int", "default": 1},
            "server_header": {"type": "str", "default": "X-Image-Server"},
            "validate_certs": {"type": "bool", "default": True},
            "timeout": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    if module.params["count"] < 1:
        module.fail_json(msg="count is %d: write a number from 1 on." % module.params["count"])
    answers = [
        ask(url, module.params["server_header"], module.params["timeout"], module.params["validate_certs"])
        for _round in range(module.params["count"])
        for url in module.params["urls"]
    ]
    module.exit_json(changed=False, answers=answers, **summary(answers))


if __name__ == "__main__":
    main()
