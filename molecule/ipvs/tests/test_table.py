"""Random tables in a real kernel: the module gets from any one to any other, and the fake ipvsadm does what the real one does."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

SEED = 3


def sample(strategy, count: int) -> list:
    """So many values of a strategy, always the same ones."""
    found: list = []

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value) -> None:
        found.append(value)

    collect()
    return found


def test_from_any_table_to_any_other(machine, rounds):
    from tables import requests  # noqa: PLC0415 (conftest.py says where it lies)

    everything = ["0.0.0.0/0", "::/0", "fwmark:1-4294967295"]
    rules = st.tuples(
        st.sampled_from(["none", "servers", "services"]),
        st.sampled_from([["192.0.2.0/24", "fwmark:1-9"], everything]),
        st.sampled_from(["none", "drained", "all"]),
    )
    pairs = sample(st.tuples(requests(absent=False), requests(), rules), rounds(60))
    assert len(pairs) > rounds(30)
    assert machine("pairs.py", pairs) == []


def test_the_fake_ipvsadm_is_like_the_real_one(machine, rounds):
    import commands  # noqa: PLC0415
    from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs import proc  # noqa: PLC0415
    from ansible_collections.imageops.lvs_fastdfs.plugins.module_utils.ipvs.run import READ  # noqa: PLC0415
    from fake_ipvsadm import FakeIpvsadm  # noqa: PLC0415

    read = "".join(f"{line}\n" for line in READ)
    draw = random.Random(SEED)
    texts = [commands.text(draw.random()) for _number in range(rounds(150))]
    real = machine("restores.py", {"texts": texts, "read": READ})
    different = []
    for text, (status, output, errors, listing, shown) in zip(texts, real):
        fake = FakeIpvsadm()
        pretended = fake(text)
        made = commands.state(fake(read)[1]), proc.read(fake.proc())
        is_real = commands.state(listing), proc.read(shown)
        if (pretended, made) != ((status, output, errors), is_real):
            different.append((text, pretended, (status, output, errors), made, is_real))
    if different:
        text, pretended, was, made, is_real = min(different, key=lambda case: len(case[0]))
        pytest.fail(
            f"{len(different)} of {len(texts)} differ; the shortest:\n{text}"
            f"fake {pretended}\nreal {was}\nfake {made}\nreal {is_real}"
        )
