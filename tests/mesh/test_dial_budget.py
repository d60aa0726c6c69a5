"""Strangers' addresses may waste a bounded number of dials, per host and per peer that names them."""

from peernode.mesh.dial_budget import HOST_BURST, MAX_REMEMBERED, PEER_BURST, PEER_PER_SECOND, DialBudget


def spend(budget, peers, addresses, now_s):
    """Dial whatever is permitted, all in vain; the number of dials."""
    dials = 0
    for peer in peers:
        for address in addresses:
            if budget.permits(peer, address, now_s):
                budget.failed(peer, address, now_s)
                dials += 1
    return dials


def test_a_thousand_peers_that_name_one_victim_cost_it_a_bounded_number_of_knocks():
    budget = DialBudget()
    peers = [f"peer{number}" for number in range(1000)]
    ports = [f"/ip4/203.0.113.9/tcp/{port}" for port in range(1000, 1008)]
    assert spend(budget, peers, ports, 0.0) == HOST_BURST
    assert spend(budget, peers, ports, 10.0) == 5
    assert budget.permits("peer1", "/ip4/203.0.113.10/tcp/1000", 10.0)


def test_one_peer_that_names_ever_new_hosts_is_not_followed_for_long():
    budget = DialBudget()
    hosts = [f"/ip4/203.0.113.{number}/tcp/4001" for number in range(250)]
    assert spend(budget, ["liar"], hosts, 0.0) == PEER_BURST
    assert spend(budget, ["liar"], hosts, 1 / PEER_PER_SECOND) == 1
    assert budget.permits("honest", hosts[-1], 0.0)


def test_the_memory_of_the_budget_is_bounded():
    budget = DialBudget()
    for number in range(MAX_REMEMBERED + 10):
        budget.failed(str(number), f"/ip4/203.0.113.9/tcp/{number}", 0.0)
    assert all(len(buckets._left) <= MAX_REMEMBERED for buckets in (budget._hosts, budget._peers))
