#!/usr/bin/python
# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fastdfs_file
short_description: Upload, check, fetch or delete a file of a FastDFS cluster
version_added: 0.1.0
author:
  - imageops (@imageops)
description:
  - Speaks with trackers and storages from the managed host, without FastDFS's client programs. Size and CRC are compared each time.
  - FastDFS gives every upload a new file id, so an upload always changes something. Keep the returned RV(file_id) and give it the next
    time as O(file_id), which makes it a check.
options:
  trackers:
    description: The trackers, as C(host) or C(host:port) with the port V(22122) when left out. They are asked in order until one answers.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(present) with O(src) uploads that file. With O(src) and O(file_id) it reads the file that is there, changes nothing, and fails
        when it has not the size and CRC of O(src). With O(file_id) alone it asks a storage for the file without reading it, and fails when it
        is not there or has not the size that its id tells.
      - V(fetched) has the file at O(dest). What came is compared with size and CRC in the file id before it takes its place. If O(dest) has them
        already, nobody is asked.
      - V(absent) deletes the file. The other storages of its group follow when they hear of it.
    type: str
    choices: [present, fetched, absent]
    default: present
  src:
    description: Path of the file on the managed host, for O(state=present).
    type: path
  file_id:
    description: The file id, such as V(group1/M00/00/00/f6_SFWsE3XqAAkn7AAAADEtWdew009.jpg).
    type: str
  dest:
    description:
      - Path of the file on the managed host, for O(state=fetched). Its directory has to be there. An old file is replaced at once or not at
        all, and keeps owner and mode.
    type: path
  extension:
    description: Extension of the file id of an upload, up to six letters or digits, no dot. That of O(src) when left out, where it is one.
    type: str
  group:
    description: Group that an upload goes to. The trackers choose when it is left out.
    type: str
  timeout:
    description:
      - Seconds for each question, connecting included. An upload is one question with all its content. A download is one for each MiB.
    type: float
    default: 30
attributes:
  check_mode:
    description: Asks trackers and storages as far as nothing changes. An upload is not made, so RV(file_id) is null then.
    support: full
  diff_mode:
    description: Shows no contents.
    support: none
  platform:
    description: Linux.
    platforms: linux
    support: full
notes:
  - The CRC is FastDFS's own, as in file ids and of C(fdfs_file_info). It is not that of zlib or C(cksum). It finds damage, not forgery.
  - Ids of appender and slave files tell neither size nor CRC. Such a file is compared with what its storage says of its size.
  - After a failed upload a storage may still have the file, under an id that nobody knows.
  - V(absent) fails when the storage that took the upload is away and another one has not the file. It may not have got it yet, and it would
    come back.
seealso:
  - module: imageops.lvs_fastdfs.fastdfs_info
"""

EXAMPLES = r"""
- name: The logo is uploaded
  imageops.lvs_fastdfs.fastdfs_file:
    trackers: [192.168.10.252]
    src: /srv/images/logo.png
  register: logo

- name: The cluster still has the logo as it is here
  imageops.lvs_fastdfs.fastdfs_file:
    trackers: [192.168.10.252]
    src: /srv/images/logo.png
    file_id: "{{ logo.file_id }}"

- name: It is known what the cluster tells of it
  imageops.lvs_fastdfs.fastdfs_file:
    trackers: [192.168.10.252]
    file_id: "{{ logo.file_id }}"

- name: The logo is here
  imageops.lvs_fastdfs.fastdfs_file:
    trackers: [192.168.10.252, 192.168.10.253]
    file_id: "{{ logo.file_id }}"
    dest: /tmp/logo.png
    state: fetched

- name: The logo is gone
  imageops.lvs_fastdfs.fastdfs_file:
    trackers: [192.168.10.252]
    file_id: "{{ logo.file_id }}"
    state: absent
"""

RETURN = r"""
file_id:
  description: The file id. Null when check mode kept an upload from being made.
  returned: success
  type: str
  sample: group1/M00/00/00/f6_SFWsE3XqAAkn7AAAADEtWdew009.jpg
size:
  description: Bytes of the file. Null with O(state=absent).
  returned: success
  type: int
  sample: 12
crc32:
  description:
    - FastDFS's CRC of the content. Null with O(state=absent), and for an appender or slave file that was not read.
  returned: success
  type: int
  sample: 1263957484
from_id:
  description: What the file id tells. Null without one.
  returned: success
  type: dict
  contains:
    group:
      description: Group of the file.
      type: str
      returned: always
    source:
      description: Address of the storage that took the upload, or its id where ids are used.
      type: str
      returned: always
    timestamp:
      description: When it was uploaded, in Unix seconds.
      type: int
      returned: always
    size:
      description: Bytes. Null for appender and slave files.
      type: int
      returned: always
    crc32:
      description: CRC. Null for appender and slave files.
      type: int
      returned: always
    appender:
      description: Whether it is a file that can be appended to.
      type: bool
      returned: always
    slave:
      description: Whether it is a slave file, made from another one.
      type: bool
      returned: always
from_storage:
  description: What a storage tells of the file. Null where none was asked.
  returned: success
  type: dict
  contains:
    address:
      description: Address and port of the storage.
      type: str
      returned: always
    size:
      description: Bytes that it holds.
      type: int
      returned: always
    timestamp:
      description: Modification time of its copy in Unix seconds.
      type: int
      returned: always
    crc32:
      description: CRC that it reads out of the file's name, not out of the content. It says nothing for appender and slave files.
      type: int
      returned: always
    source:
      description: Address of the storage that took the upload, as far as it is known there.
      type: str
      returned: always
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs import files, options
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.client import Client, FastdfsError
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.files import Content
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.fastdfs.wire import FileId, file_id


def _result(
    changed: bool, file: FileId | None, content: Content | None = None, held: files.Stored | None = None
) -> dict:
    return {
        "changed": changed,
        "file_id": None if file is None else str(file),
        "size": None if content is None else content.size,
        "crc32": None if content is None else content.crc32,
        "from_id": None if file is None else files.id_shape(file),
        "from_storage": None if held is None else files.stored_shape(held),
    }


def present(module: AnsibleModule, client: Client, file: FileId | None) -> dict:
    path, group, extension = (module.params[name] for name in ("src", "group", "extension"))
    if path is None:
        held = files.stored(client, file)
        return _result(False, file, Content(held.info.size, file.crc32), held)
    with open(path, "rb") as source:
        if file is not None:
            local = files.content_of(source)
            return _result(False, file, local, files.same(client, file, local, path))
        if extension is None:
            extension = files.extension_of(path)
        if module.check_mode:
            files.upload_target(client, group, extension)
            return _result(True, None, files.content_of(source))
        file = files.upload(client, source, extension, group)
    return _result(True, file, Content(file.size, file.crc32))


def fetched(module: AnsibleModule, client: Client, file: FileId) -> dict:
    dest = module.params["dest"]
    directory = os.path.dirname(dest) or "."
    if os.path.isdir(dest) or not os.path.isdir(directory):
        module.fail_json(msg=f"dest: {dest} must be the path of a file in a directory that is there")
    local = None
    if os.path.exists(dest):
        with open(dest, "rb") as old:
            local = files.content_of(old)
    told = None if file.crc32 is None else Content(file.size, file.crc32)
    if told is not None and local == told:
        return _result(False, file, local)
    held = files.stored(client, file)
    if module.check_mode:
        content = told or files.read(client, file, held)
        return _result(content != local, file, content, held)
    # Beside the destination, so that renaming it there is one step.
    number, path = tempfile.mkstemp(prefix=".fastdfs_file-", dir=directory)
    module.add_cleanup_file(path)
    with os.fdopen(number, "wb") as new:
        content = files.read(client, file, held, new.write)
        new.flush()
        os.fsync(number)
    if content != local:
        module.atomic_move(path, dest)
    return _result(content != local, file, content, held)


def absent(module: AnsibleModule, client: Client, file: FileId) -> dict:
    return _result(files.delete(client, file, module.check_mode), file)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "trackers": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": list(files.STATES), "default": "present"},
            "src": {"type": "path"},
            "file_id": {"type": "str"},
            "dest": {"type": "path"},
            "extension": {"type": "str"},
            "group": {"type": "str"},
            "timeout": {"type": "float", "default": 30},
        },
        required_if=[
            ("state", "present", ("src", "file_id"), True),
            ("state", "fetched", ("file_id", "dest")),
            ("state", "absent", ("file_id",)),
        ],
        supports_check_mode=True,
    )
    params = module.params
    run = {"present": present, "fetched": fetched, "absent": absent}[params["state"]]
    try:
        files.check(params)
        file = None if params["file_id"] is None else file_id(params["file_id"])
        timeout = options.seconds(params, "timeout", 0.1)
        with Client(options.trackers(params["trackers"]), timeout) as client:
            returned = run(module, client, file)
    except OSError as error:
        path = error.filename or params["dest"] or params["src"]
        module.fail_json(msg=f"{path}: {error.strerror or error}")
    except (FastdfsError, ValueError) as error:
        # WireError is a ValueError, and so is what the client raises for a file that shrinks while it is sent.
        module.fail_json(msg=str(error))
    module.exit_json(**returned)


if __name__ == "__main__":
    main()
