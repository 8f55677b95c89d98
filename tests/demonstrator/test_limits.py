"""Admission, memory and the rate of a client."""

import pytest

from mint_jax.demonstrator.limits import Buckets, Gate, Limits
from mint_jax.demonstrator.refusals import Refused


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _taken(buckets: Buckets, address: str, times: int) -> int:
    taken = 0
    for _ in range(times):
        try:
            buckets.take(address)
            taken += 1
        except Refused as refused:
            assert (refused.status, refused.code) == (429, "too_many_requests")
    return taken


def test_a_bucket_empties_and_fills():
    clock = _Clock()
    buckets = Buckets(Limits(burst=5, rate=0.5), clock)
    assert _taken(buckets, "192.0.2.1", 20) == 5
    clock.now = 10
    assert _taken(buckets, "192.0.2.1", 20) == 5  # a refusal costs nothing
    clock.now = 12
    assert _taken(buckets, "192.0.2.1", 20) == 1
    clock.now = 1e6
    assert _taken(buckets, "192.0.2.1", 20) == 5


def test_waiting_as_long_as_it_says_helps():
    clock = _Clock()
    buckets = Buckets(Limits(burst=1, rate=0.3), clock)
    buckets.take("192.0.2.1")
    with pytest.raises(Refused) as refused:
        buckets.take("192.0.2.1")
    clock.now += refused.value.retry_after
    buckets.take("192.0.2.1")


def test_clients_have_buckets_of_their_own_but_networks_of_ipv6_share():
    buckets = Buckets(Limits(burst=2), _Clock())
    for client in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "testclient"):
        assert _taken(buckets, client, 3) == 2
    assert _taken(buckets, "2001:db8::ffff:2", 3) == 0
    assert _taken(buckets, "2001:db8:0:1::1", 3) == 2


def test_memory_is_bounded_and_recent_clients_are_remembered():
    buckets = Buckets(Limits(burst=1, clients=100), _Clock())
    for i in range(1000):
        _taken(buckets, "192.0.2.1", 1)
        _taken(buckets, f"10.0.{i // 256}.{i % 256}", 1)
    assert len(buckets) == 100
    assert _taken(buckets, "192.0.2.1", 1) == 0


def test_the_gate_counts_requests_and_their_bytes():
    gate = Gate(Limits(requests=2, held_bytes=100))
    with gate.enter() as first:
        first(60)
        with gate.enter() as second:
            with pytest.raises(Refused, match="busy"):
                second(41)
            second(40)
            with pytest.raises(Refused, match="busy") as refused, gate.enter():
                pass
            assert (refused.value.status, gate.inside) == (503, 2)
            assert refused.value.retry_after > 0
        with gate.enter() as third:
            third(40)
    assert gate.inside == 0
