"""The backup host keeps what storages ship, whatever happens to the storages and to their keys."""

from __future__ import annotations

import pytest

ROOT = "/srv/fastdfs-backup"
OPTIONS = (
    "-F none -i /var/lib/fastdfs/backup/key -o BatchMode=yes "
    "-o UserKnownHostsFile=/etc/fastdfs-backup/known_hosts -o HostKeyAlias=backup1"
)
KEY = f"ssh {OPTIONS}"


@pytest.fixture(scope="module")
def backup(node):
    return node("backup1")


@pytest.fixture(scope="module")
def upload(nodes):
    """upload("text", "10.205.0.21:23000"): the file id of a new image of this content."""
    client = nodes("fastdfs_clients")[0]

    def uploaded(content: str, storage: str) -> str:
        client.check_output(f"printf %s '{content}' >/var/tmp/backup.jpg")
        return client.check_output(f"fdfs_upload_file /etc/fdfs/client.conf /var/tmp/backup.jpg {storage}")

    uploaded.client = client
    return uploaded


def archived(backup, file_id: str) -> str | None:
    file = backup.file(f"{ROOT}/archive/{file_id}")
    return file.content_string if file.exists else None


@pytest.mark.parametrize("server", ["image1", "image2", "image3", "image4"])
def test_an_image_is_archived_within_seconds_and_stays_when_it_is_deleted(
    backup, upload, hostvars, wait, server
):
    file_id = upload(f"kept of {server}", f"{hostvars(server)['ansible_host']}:23000")
    # The binlog is flushed every second, and it is looked at twice a second.
    wait(lambda: archived(backup, file_id) == f"kept of {server}", "archived", 20)
    upload.client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {file_id}")
    later = upload("later", f"{hostvars(server)['ansible_host']}:23000")
    wait(lambda: archived(backup, later) == "later", "archived", 20)
    assert archived(backup, file_id) == f"kept of {server}"
    upload.client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {later}")


def test_nothing_is_lost_when_the_backup_host_was_away(writing, nodes, power, wait):
    state = "/var/lib/fastdfs/backup/backup1/state.json"

    def in_trouble() -> bool:
        said = [host.file(state).content_string for host in nodes("fastdfs_storages")]
        return all('"trouble": ""' not in each for each in said)

    with writing() as ledger:
        power.off("backup1")
        try:
            wait(in_trouble, "every storage says that it cannot ship", 90)
        finally:
            power.on("backup1")
    assert ledger.acknowledged > 50
    assert ledger.missing(90) == {}


def test_a_monitor_of_the_storages_group_reads_the_metrics_and_not_the_key(nodes):
    monitor = "setpriv --reuid=nobody --regid=nogroup --groups=fastdfs"
    for host in nodes("fastdfs_storages"):
        told = host.check_output(f"{monitor} cat /var/lib/fastdfs/backup/backup1/fastdfs_backup.prom")
        assert 'fastdfs_backup_trouble{archive="backup1"} 0' in told.splitlines()
        assert host.run(f"{monitor} cat /var/lib/fastdfs/backup/key").rc != 0


def test_metadata_are_kept_in_every_state(backup, upload, hostvars, node, wait, stored):
    file_id = upload("with metadata", f"{hostvars('image1')['ansible_host']}:23000")
    path = file_id.split("/", 1)[1]
    wait(lambda: archived(backup, file_id), "archived", 20)
    binlog = "/var/lib/fastdfs/storage/data/sync/binlog.000"
    # What a client's set_metadata leaves; upstream has no command for it.
    node("image1").check_output(
        f'printf width=1 >{stored("image1", file_id)}-m && echo "$(date +%s) U {path}-m" >>{binlog}'
    )
    states = f"{ROOT}/versions/{file_id}-m"
    wait(lambda: backup.run(f"cat {states}/*").stdout == "width=1", "archived", 20)


@pytest.mark.parametrize(
    "command",
    [
        "{key} fastdfs-backup@{backup} id",
        "{key} fastdfs-backup@{backup} rm -rf /srv/fastdfs-backup/inbox",
        "{key} -W 127.0.0.1:22 fastdfs-backup@{backup}",
        "rsync -e '{key}' fastdfs-backup@{backup}:. /tmp/",
        "rsync -r --delete -e '{key}' /var/empty/ fastdfs-backup@{backup}:./",
        "rsync -e '{key}' /etc/hostname fastdfs-backup@{backup}:../../archive/",
        "rsync -e '{key}' /etc/hostname fastdfs-backup@{backup}:/srv/fastdfs-backup/archive/",
        "scp {options} /etc/hostname fastdfs-backup@{backup}:x",
        "sftp -b /dev/null {options} fastdfs-backup@{backup}",
    ],
)
def test_a_storage_s_key_can_add_and_nothing_else(backup, node, hostvars, command):
    before = backup.check_output(
        f"find {ROOT}/archive {ROOT}/versions /etc/fastdfs-backup -type f | sort | xargs sha256sum | sha256sum"
    )
    node("image1").run("install -d /var/empty")
    # testinfra takes the status of a failed ssh for a failure of its own.
    done = node("image1").run(
        f"{{ {command.format(key=KEY, options=OPTIONS, backup=hostvars('backup1')['ansible_host'])}; }} || exit 9"
    )
    assert done.rc != 0, done.stdout
    assert "uid=" not in done.stdout
    after = backup.check_output(
        f"find {ROOT}/archive {ROOT}/versions /etc/fastdfs-backup -type f | sort | xargs sha256sum | sha256sum"
    )
    assert after == before
    assert node("image1").run(f"{KEY} fastdfs-backup@{hostvars('backup1')['ansible_host']} state").rc == 0


@pytest.mark.parametrize("mode", ["+t", "a-rwx"])
def test_modes_that_a_storage_s_key_sets_harm_its_own_inbox_at_most(
    backup, node, hostvars, upload, wait, mode
):
    def ships(server: str) -> None:
        file_id = upload(f"{server} after {mode}", f"{hostvars(server)['ansible_host']}:23000")
        wait(lambda: archived(backup, file_id) == f"{server} after {mode}", f"archived of {server}", 60)
        upload.client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {file_id}")

    before = backup.check_output(f"find {ROOT}/archive -printf '%m %u %p\\n' | sha256sum")
    target = f"fastdfs-backup@{hostvars('backup1')['ansible_host']}"
    node("image1").run(
        f"install -d /var/tmp/odd/M00/00/00 && rsync -rp --chmod=D{mode} -e '{KEY}' /var/tmp/odd/ {target}:./; rm -r /var/tmp/odd"
    )
    try:
        modes = backup.check_output(f"find {ROOT}/inbox/image1 -type d -printf '%m '").split()
        assert any(each == "0" if mode == "a-rwx" else len(each) == 4 for each in modes), modes
        assert backup.check_output(f"find {ROOT}/archive -printf '%m %u %p\\n' | sha256sum") == before
        ships("image2")
        # Nothing gets into an inbox without modes, of which its storage says so; a sticky one is emptied like others.
        if mode == "+t":
            ships("image1")
    finally:
        backup.check_output(f"find {ROOT}/inbox/image1 -type d -exec chmod u=rwx,o-t {{}} +")


def test_a_storage_s_key_overwrites_nothing(backup, node, hostvars, upload, wait):
    file_id = upload("the first content", f"{hostvars('image1')['ansible_host']}:23000")
    wait(lambda: archived(backup, file_id) == "the first content", "archived", 20)
    name = file_id.split("/", 1)[1]
    target = f"fastdfs-backup@{hostvars('backup1')['ansible_host']}"
    node("image1").check_output(
        f"install -D /dev/null /var/tmp/odd/{name} && printf 'another content' >/var/tmp/odd/{name}"
        f" && cd /var/tmp/odd && rsync --relative -e '{KEY}' {name} {target}:./; rm -r /var/tmp/odd"
    )
    later = upload("later", f"{hostvars('image1')['ansible_host']}:23000")
    wait(lambda: archived(backup, later) == "later", "archived", 60)
    assert archived(backup, file_id) == "the first content"
    for each in (file_id, later):
        upload.client.check_output(f"fdfs_delete_file /etc/fdfs/client.conf {each}")


def test_the_user_of_the_keys_can_write_nothing_but_inboxes(backup):
    own = backup.check_output(
        f"find / -xdev -user fastdfs-backup -not -path '{ROOT}/inbox/*' -not -path '/proc/*' 2>/dev/null || true"
    )
    assert own == ""
    for path in (
        f"{ROOT}/archive",
        f"{ROOT}/versions",
        f"{ROOT}/rejected",
        f"{ROOT}/state",
        ROOT,
        "/var/lib/fastdfs-backup/.ssh",
    ):
        assert backup.run(f"runuser -u fastdfs-backup -- test -w {path}").rc != 0


def test_the_backup_host_runs_no_other_server_of_ours(backup):
    listening = backup.check_output("ss -Hltn").splitlines()
    assert {line.split()[3].rsplit(":", 1)[1] for line in listening} <= {"22"}
    assert backup.service("fdfs-backup-keep").is_running


def test_services_are_sandboxed(backup, node):
    for host, unit in (
        (backup, "fdfs-backup-keep.service"),
        (node("image1"), "fdfs-backup-ship@backup1.service"),
    ):
        exposure = host.check_output(f"systemd-analyze security --no-pager {unit} | tail -n 1")
        assert float(exposure.split(":")[1].split()[0]) <= 3.0, exposure
