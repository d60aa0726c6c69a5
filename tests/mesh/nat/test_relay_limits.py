"""How much a relay gives to whom."""

from peernode.mesh.nat.relay_limits import RESERVATION_S, RelayBook, RelayLimits

LIMITS = RelayLimits(
    reservations=3, reservations_per_address=2, circuits=4, circuits_per_caller=2, circuits_per_called=3
)


def test_reservations_are_bounded_in_all_and_for_each_address():
    book = RelayBook(LIMITS)
    assert book.reserve("a", "198.51.100.1", 0)
    assert book.reserve("b", "198.51.100.1", 0)
    assert not book.reserve("c", "198.51.100.1", 0)
    assert book.reserve("c", "198.51.100.2", 0)
    assert not book.reserve("d", "198.51.100.3", 0)
    assert book.reserve("a", "198.51.100.1", 0)  # a renewal takes no room
    book.release("b")
    assert book.reserve("d", "198.51.100.3", 0)


def test_a_reservation_ends_unless_renewed():
    book = RelayBook(LIMITS)
    book.reserve("a", "198.51.100.1", 0)
    assert book.reserved("a", RESERVATION_S - 1)
    assert not book.reserved("a", RESERVATION_S)
    book.reserve("a", "198.51.100.1", RESERVATION_S - 1)
    assert book.reserved("a", RESERVATION_S + 1)
    for peer in "bcd":  # what has ended takes no room
        assert book.reserve(peer, f"198.51.100.{ord(peer)}", 3 * RESERVATION_S)


def test_circuits_are_bounded_in_all_and_for_each_end():
    book = RelayBook(LIMITS)
    assert book.open_circuit("a", "x")
    assert book.open_circuit("a", "y")
    assert not book.open_circuit("a", "z")
    assert book.open_circuit("b", "x")
    assert book.open_circuit("c", "x")
    assert not book.open_circuit("d", "x")
    assert not book.open_circuit("d", "z")  # four are all
    book.close_circuit("a", "y")
    assert book.open_circuit("d", "z")
    assert book.circuits == 4


def test_counts_go_back_to_nothing():
    book = RelayBook(LIMITS)
    for _ in range(100):
        assert book.open_circuit("a", "x")
        book.close_circuit("a", "x")
    assert book.circuits == 0
    assert not book._callers
    assert not book._called
