# Copyright (c) imageops
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing: processes, refusals, and what is put back."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import run
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.desired import InputError, desired
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.model import ServerId, ServiceId
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.plan import Policy, policy
from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import Host, IpvsError, reconcile
from fake_ipvsadm import SCHEDULERS, FakeIpvsadm
from tables import apply, host

A = {"address": "10.0.0.1"}
B = {"address": "10.0.0.2"}
WEB = {"address": "192.0.2.1", "port": 80, "scheduler": "wrr", "servers": [A, B]}
WEB_ID = ServiceId("tcp", "ipv4", "192.0.2.1", 80)


def unloaded() -> FakeIpvsadm:
    fake = FakeIpvsadm()
    fake.loaded = False
    return fake


def test_one_process_reads_and_one_writes():
    fake = FakeIpvsadm()
    outcome = apply(fake, desired([WEB]))
    assert len(fake.calls) == 2
    assert fake.writes == [step.line for step in outcome.steps]
    assert list(outcome.after.services[WEB_ID].servers) == [
        ServerId("10.0.0.1", 80),
        ServerId("10.0.0.2", 80),
    ]


@pytest.mark.parametrize(
    ("before", "after", "listed"),
    [({}, {}, False), ({"upper_threshold": 9}, {}, True), ({}, {"upper_threshold": 9}, True)],
)
def test_ipvsadm_lists_what_the_kernels_short_listing_leaves_out_and_nothing_else(before, after, listed):
    fake = FakeIpvsadm()
    apply(fake, desired([{**WEB, "servers": [{**A, **before}]}]))
    fake.calls.clear()
    apply(fake, desired([{**WEB, "servers": [{**A, **after}, B]}]))
    assert len(fake.calls) == 2
    assert ("-S -n" in fake.calls[1]) is listed
    assert ("--thresholds" in fake.calls[1]) is listed


@pytest.mark.parametrize("old", [{"weight": 0}, None])
def test_a_pool_keeps_what_it_has_while_the_kernel_refuses_what_it_gets(old):
    fake = FakeIpvsadm()
    apply(fake, desired([{**WEB, "servers": [A]}]))
    fake.calls.clear()
    fake.refuse = "-a .*10.0.0.2"
    servers = [B] if old is None else [{**A, **old}, B]
    with pytest.raises(IpvsError, match=r"10\.0\.0\.2:80 .*The table before was put back"):
        apply(fake, desired([{**WEB, "servers": servers}]), policy("servers"))
    assert [line for line in fake.writes if "10.0.0.1" in line] == []


def test_a_weight_that_cannot_rise_takes_none_from_another():
    fake = FakeIpvsadm()
    apply(fake, desired([{**WEB, "servers": [A, {**B, "weight": 0}]}]))
    fake.calls.clear()
    fake.refuse = "-e .*10.0.0.2"
    with pytest.raises(IpvsError, match="ipvsadm said"):
        apply(fake, desired([{**WEB, "servers": [{**A, "weight": 0}, B]}]))
    assert [line for line in fake.writes if "10.0.0.1" in line] == []


def test_what_ipvsadm_says_of_the_first_part_is_not_lost():
    fake = FakeIpvsadm()
    other = {**WEB, "port": 81}
    apply(fake, desired([{**WEB, "servers": [A]}, {**other, "servers": [A]}]))
    fake.refuse = "-e .*:81"
    with pytest.raises(IpvsError, match=r"10\.0\.0\.1:81 .*ipvsadm said"):
        apply(
            fake,
            desired([{**WEB, "servers": [B]}, {**other, "servers": [{**A, "weight": 5}]}]),
            policy("servers"),
        )


def test_what_is_gained_and_lost_takes_two_processes_and_what_is_gained_comes_first():
    fake = FakeIpvsadm()
    apply(fake, desired([{**WEB, "servers": [A]}]))
    fake.calls.clear()
    apply(fake, desired([{**WEB, "servers": [B]}]), policy("servers"))
    assert [line.split()[0] for line in fake.writes] == ["-a", "-d"]
    assert len(fake.calls) == 3


@pytest.mark.parametrize("text", ["", "IP Virtual Server version 1.2.1 (size=4096)\n"])
def test_a_short_listing_that_tells_nothing_is_not_believed(text):
    fake = FakeIpvsadm()
    machine = Host(fake, lambda: True, lambda: SCHEDULERS, lambda: text)
    reconcile(machine, desired([WEB]), Policy())
    gone = reconcile(machine, desired([{**WEB, "state": "absent"}]), Policy())
    assert gone.after.services == {}
    assert sum("-S -n" in call for call in fake.calls) >= 3


def test_thresholds_that_somebody_sets_meanwhile_are_seen():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))

    def busy(text: str) -> tuple[int, str, str]:
        if "-A" in text:
            fake("-A -t 192.0.2.1:81 -s wrr\n-a -t 192.0.2.1:81 -r 10.0.0.1:81 -x 9\n")
        return fake(text)

    machine = Host(busy, lambda: True, lambda: SCHEDULERS, fake.proc)
    with pytest.raises(IpvsError, match=r"real server 10\.0\.0\.1:81 "):
        reconcile(machine, desired([WEB, {**WEB, "port": 81}]), Policy())


def test_check_mode_does_not_load_ipvs():
    fake = unloaded()
    outcome = apply(fake, desired([WEB], {"tcp": 900}), check=True)
    assert fake.calls == []
    assert [step.line[:2] for step in outcome.steps] == ["-A", "-a", "-a"]


def test_a_run_with_nothing_to_do_does_not_load_ipvs():
    fake = unloaded()
    assert apply(fake, desired([{**WEB, "state": "absent"}], {"udp": 300}, [])).steps == []
    assert fake.calls == []


def test_a_run_that_needs_ipvs_loads_it_and_reads_what_stands():
    fake = unloaded()
    apply(fake, desired([WEB]))
    fake.loaded = False  # somebody made the table between our look and our reading
    fake.calls.clear()
    assert apply(fake, desired([WEB])).steps == []
    assert len(fake.calls) == 1


def test_a_machine_without_ipvsadm():
    bare = Host(None, lambda: False, lambda: None)
    outcome = reconcile(bare, desired([WEB]), Policy(), check=True)
    assert len(outcome.steps) == 3
    assert outcome.warnings == ["ipvsadm is not installed: the plan assumes an empty table"]
    with pytest.raises(IpvsError, match=r"ipvsadm is not installed") as caught:
        reconcile(bare, desired([WEB]), Policy())
    assert len(caught.value.plan) == 3
    assert reconcile(bare, desired([{**WEB, "state": "absent"}]), Policy()).steps == []
    with pytest.raises(IpvsError, match=r"ipvsadm is not installed"):
        reconcile(Host(None, lambda: True, lambda: None), desired([]), Policy())


@pytest.mark.parametrize("offered", [None, SCHEDULERS])
def test_an_unknown_scheduler_changes_nothing(offered):
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))
    fake.calls.clear()
    wanted = desired(
        [{**WEB, "servers": [A]}, {**WEB, "port": 81}, {**WEB, "port": 82, "scheduler": "bogus"}]
    )
    with pytest.raises(InputError) as caught:
        reconcile(host(fake, offered), wanted, policy("servers"))
    problem = "tcp 192.0.2.1:82: scheduler: the kernel has no 'bogus'"
    offer = "; it offers dh, fo, lblc, lblcr, lc, mh, nq, ovf, rr, sed, sh, wlc, wrr"
    assert str(caught.value) == problem + (offer if offered else "")
    assert list(fake.virtuals) == [("TCP", "192.0.2.1", 80)]
    assert len(fake.virtuals["TCP", "192.0.2.1", 80].dests) == 2


def test_an_unknown_engine_changes_nothing():
    fake = FakeIpvsadm(engines=())
    wanted = desired([{**WEB, "persistence_timeout": 9, "persistence_engine": "sip"}])
    with pytest.raises(InputError, match=r"tcp 192.0.2.1:80: persistence_engine: the kernel has no 'sip'"):
        reconcile(host(fake, SCHEDULERS), wanted, Policy())
    assert fake.virtuals == {}


def test_the_kernel_is_asked_when_nothing_else_vouches_for_a_scheduler():
    fake = FakeIpvsadm(schedulers=SCHEDULERS | {"home"})
    wanted = desired(
        [{**WEB, "scheduler": "home"}, {"fwmark": 2**31 - 1, "scheduler": "home"}, {**WEB, "port": 81}]
    )
    reconcile(host(fake, SCHEDULERS), wanted, Policy())
    assert len(fake.calls) == 3
    assert "-A -f 2147483646 -s home" in fake.calls[1]  # not the mark that is asked for
    assert sorted(fake.virtuals) == [
        ("FWM", "", 2**31 - 1),
        ("TCP", "192.0.2.1", 80),
        ("TCP", "192.0.2.1", 81),
    ]


def test_a_scheduler_in_use_needs_no_question():
    fake = FakeIpvsadm()
    reconcile(host(fake, None), desired([WEB]), Policy())
    fake.calls.clear()
    reconcile(host(fake, None), desired([{**WEB, "port": 81}]), Policy())
    assert len(fake.calls) == 2


def test_check_mode_refuses_a_scheduler_that_the_kernel_cannot_have():
    fake = FakeIpvsadm()
    wanted = desired([{**WEB, "scheduler": "bogus"}])
    with pytest.raises(InputError, match=r"scheduler: the kernel has no 'bogus'; it offers dh, fo"):
        apply(fake, wanted, check=True)
    assert len(reconcile(host(fake, None), wanted, Policy(), check=True).steps) == 3
    assert fake.writes == []


def test_what_the_kernel_refuses_is_named_with_its_line_and_put_back():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB], {"tcp": 600}, [{"role": "master", "interface": "eth0", "sync_id": 1}]))
    fake.daemons["master"] += ", extra=1"
    fake.refuse = r"-r 10\.0\.0\.3"
    wanted = desired(
        [
            {**WEB, "scheduler": "rr", "servers": [{**A, "weight": 9}, {"address": "10.0.0.3"}]},
            {**WEB, "port": 81},
        ],
        {"tcp": 60},
        [{"role": "master", "interface": "eth1"}],
    )
    with pytest.raises(IpvsError) as caught:
        apply(fake, wanted, policy("servers"))
    assert str(caught.value) == (
        "the kernel does not hold what was asked: tcp 192.0.2.1:80, real server 10.0.0.3:80"
        " (-a -t 192.0.2.1:80 -r 10.0.0.3:80 -g -w 1 -x 0 -y 0). ipvsadm said: Invalid operation.  Possibly wrong module"
        " version, address not unicast, .... The table before was put back"
    )
    assert list(fake.virtuals) == [("TCP", "192.0.2.1", 80)]
    assert fake.virtuals["TCP", "192.0.2.1", 80].scheduler == "wrr"
    assert {key: dest.weight for key, dest in fake.virtuals["TCP", "192.0.2.1", 80].dests.items()} == {
        ("10.0.0.1", 80): 1,
        ("10.0.0.2", 80): 1,
    }
    assert fake.timeouts == [600, 120, 300]
    assert fake.daemons["master"].startswith("mcast=eth0, syncid=1")


def test_a_deleted_service_comes_back_with_its_real_servers():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB, {"fwmark": 1, "servers": [A, B]}]))
    fake.refuse = "^-A .*:81 "
    with pytest.raises(IpvsError, match=r"was put back"):
        apply(fake, desired([{**WEB, "port": 81}, {"fwmark": 1, "state": "absent"}]))
    assert len(fake.virtuals["FWM", "", 1].dests) == 2


def test_both_are_said_when_it_cannot_be_put_back():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))
    fake.refuse = "-w 9|-w 1"
    wanted = desired([{**WEB, "servers": [{**A, "weight": 5}, {**B, "weight": 9}]}])
    with pytest.raises(IpvsError) as caught:
        apply(fake, wanted)
    assert "real server 10.0.0.2:80 (-e -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 9 -x 0 -y 0)" in str(
        caught.value
    )
    assert "The table before could not be put back" in str(caught.value)
    assert "real server 10.0.0.1:80 (-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1 -x 0 -y 0)" in str(
        caught.value
    )


def test_a_long_list_of_failures_is_cut():
    fake = FakeIpvsadm()
    fake.refuse = "^-A"
    with pytest.raises(IpvsError, match=r"tcp 192\.0\.2\.1:80 \(-A .* and 26 more\. "):
        apply(fake, desired([{**WEB, "port": port} for port in range(80, 92)]))


def test_a_line_that_ends_ipvsadm_early_is_found_out():
    fake = FakeIpvsadm()

    def dies_on_a_flag(text: str) -> tuple[int, str, str]:
        return fake(text.replace("-b flag-3", "-b flag-9"))

    machine = Host(dies_on_a_flag, lambda: True, lambda: SCHEDULERS, fake.proc)
    wanted = desired([WEB, {**WEB, "port": 81, "scheduler_flags": ["flag-3"]}, {**WEB, "port": 82}])
    with pytest.raises(IpvsError, match=r"tcp 192\.0\.2\.1:81 \(-A .*was put back"):
        reconcile(machine, wanted, Policy())
    assert fake.virtuals == {}


def test_what_others_do_meanwhile_is_left_alone():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))

    def busy(text: str) -> tuple[int, str, str]:
        if "-A" in text:
            fake("-A -t 192.0.2.9:9 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.9:80\n")
        return fake(text)

    machine = Host(busy, lambda: True, lambda: SCHEDULERS, fake.proc)
    outcome = reconcile(machine, desired([WEB, {**WEB, "port": 81}]), Policy())
    assert ServiceId("tcp", "ipv4", "192.0.2.9", 9) in outcome.after.services
    assert len(fake.virtuals["TCP", "192.0.2.1", 80].dests) == 3


def test_what_was_right_and_is_changed_meanwhile_is_not_called_a_success():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))

    def busy(text: str) -> tuple[int, str, str]:
        if "-A" in text:
            fake("-e -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 7")
        return fake(text)

    machine = Host(busy, lambda: True, lambda: SCHEDULERS, fake.proc)
    with pytest.raises(
        IpvsError, match=r"not hold what was asked: tcp 192\.0\.2\.1:80, real server 10\.0\.0\.1:80 "
    ):
        reconcile(machine, desired([WEB, {**WEB, "port": 81}]), Policy())
    assert list(fake.virtuals) == [("TCP", "192.0.2.1", 80)]


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ("Can't initialize ipvs: Permission denied (you must be root)", "needs root: Can't initialize"),
        ("Can't initialize ipvs: Protocol not available", "the kernel has no IPVS"),
        ("", "did not print the whole table: exit status 7"),
    ],
)
def test_a_table_that_cannot_be_read(errors, sentence):
    machine = Host(lambda _text: (7, "", errors), lambda: True, lambda: None)
    with pytest.raises(IpvsError, match=sentence):
        reconcile(machine, desired([WEB]), Policy(), check=True)


def test_output_of_another_ipvsadm_stops_before_anything_is_written():
    calls = []

    def other(text: str) -> tuple[int, str, str]:
        calls.append(text)
        return 0, "-A -t 192.0.2.1:80 -s wrr --colour red\nTimeout (tcp tcpfin udp): 1 2 3\n", ""

    with pytest.raises(IpvsError, match=r"not understood: '-A -t 192.0.2.1:80 -s wrr --colour red'"):
        reconcile(Host(other, lambda: True, lambda: None), desired([WEB]), Policy())
    assert len(calls) == 1


def test_what_a_kernel_offers_is_read_from_its_index(tmp_path):
    assert run.offered("6.1", str(tmp_path), str(tmp_path / "sys")) is None
    index = tmp_path / "6.1"
    index.mkdir()
    path = "kernel/net/netfilter/ipvs"
    (index / "modules.dep").write_text(
        f"{path}/ip_vs.ko: kernel/lib/x.ko\n{path}/ip_vs_wrr.ko.xz: {path}/ip_vs.ko.xz\n{path}/ip_vs_pe_sip.ko: {path}/ip_vs.ko\n"
    )
    (index / "modules.builtin").write_text(f"{path}/ip_vs_rr.ko\n")
    (tmp_path / "sys" / "ip_vs_home").mkdir(parents=True)
    assert run.offered("6.1", str(tmp_path), str(tmp_path / "sys")) == {"wrr", "pe_sip", "rr", "home"}


def test_loaded_is_told_by_a_file(tmp_path):
    assert run.loaded(str(tmp_path / "ip_vs")) is False
    (tmp_path / "ip_vs").touch()
    assert run.loaded(str(tmp_path / "ip_vs")) is True


@pytest.mark.parametrize("scheduler", ["ftp", "pe_sip"])
def test_not_every_module_of_ipvs_is_a_scheduler(scheduler):
    fake, offered = FakeIpvsadm(), SCHEDULERS | {"ftp", "pe_sip"}
    apply(fake, desired([WEB]))
    fake.calls.clear()
    for check in (True, False):
        with pytest.raises(
            InputError, match=f"the kernel has no '{scheduler}'; it offers dh, fo, lblc, [a-z, ]* wrr$"
        ):
            reconcile(
                host(fake, offered), desired([{**WEB, "port": 81, "scheduler": scheduler}]), Policy(), check
            )
    assert list(fake.virtuals) == [("TCP", "192.0.2.1", 80)]


def test_a_real_server_that_did_not_come_back_with_its_service_is_named():
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))
    fake.refuse = r"-r 10\.0\.0\.2|-A -t 192\.0\.2\.1:81"
    with pytest.raises(IpvsError, match=r"could not be put back .* real server 10\.0\.0\.2:80"):
        apply(fake, desired([{**WEB, "state": "absent"}, {**WEB, "port": 81}]))


@pytest.mark.parametrize(
    ("unreadable", "told"),
    [
        ((2, 3), "The table before was put back"),
        ((2, 3, 4, 5), "Whether the table before was put back cannot be read"),
    ],
)
def test_what_cannot_be_read_after_a_change_is_put_back_and_said(unreadable, told):
    fake = FakeIpvsadm()
    apply(fake, desired([WEB]))
    fake.calls.clear()
    fake.refuse = r"-r 10\.0\.0\.3"

    def failing(text: str) -> tuple[int, str, str]:
        answer = fake(text)
        return (255, "", "boom") if len(fake.calls) in unreadable else answer

    machine = Host(failing, lambda: True, lambda: SCHEDULERS, fake.proc)
    wanted = desired([{**WEB, "scheduler": "rr", "servers": [A, {"address": "10.0.0.3"}]}])
    with pytest.raises(IpvsError, match=r"cannot be read: .*boom") as caught:
        reconcile(machine, wanted, policy("servers"))
    assert len(caught.value.plan) == 3
    assert told in str(caught.value)
    assert fake.virtuals["TCP", "192.0.2.1", 80].scheduler == "wrr"
    assert sorted(fake.virtuals["TCP", "192.0.2.1", 80].dests) == [("10.0.0.1", 80), ("10.0.0.2", 80)]


class Module:
    """As much of an AnsibleModule as is asked for a program."""

    def __init__(self, program) -> None:
        self.get_bin_path = lambda _name: str(program)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (
            "while read -r line; do echo 'Invalid operation.  Possibly wrong module version, address not unicast, ...' >&2; done",
            0,
        ),
        ("read -r line; exit 2", 2),
    ],
)
def test_a_large_plan_waits_for_nobody(tmp_path, script, status):
    """More lines and more errors than a pipe takes; a program that ends before it has read them."""
    program = tmp_path / "ipvsadm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            run.host(Module(program)).ipvsadm("-a -t 192.0.2.1:80 -r 10.0.0.1:80\n" * 10000)
        ),
        daemon=True,
    )
    thread.start()
    thread.join(60)
    assert found and found[0][0] == status


def test_ipvsadm_speaks_the_language_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    program = tmp_path / "ipvsadm"
    program.write_text('#!/bin/sh\necho "$LC_ALL"\n')
    program.chmod(0o755)
    assert run.host(Module(program)).ipvsadm("")[1] == "C\n"
