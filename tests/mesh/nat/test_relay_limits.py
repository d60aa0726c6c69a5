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
    assert book.open_circuit("a", "x", 0)
    assert book.open_circuit("a", "y", 0)
    assert not book.open_circuit("a", "z", 0)
    assert book.open_circuit("b", "x", 0)
    assert book.open_circuit("c", "x", 0)
    assert not book.open_circuit("d", "x", 0)
    assert not book.open_circuit("d", "z", 0)  # four are all
    book.close_circuit("a", "y")
    assert book.open_circuit("d", "z", 0)
    assert book.circuits == 4


def test_counts_go_back_to_nothing():
    book = RelayBook(LIMITS)
    for minute in range(100):
        assert book.open_circuit("a", "x", 60 * minute)
        book.close_circuit("a", "x")
    assert book.circuits == 0
    assert not book._callers
    assert not book._called


def test_a_caller_that_never_gets_tired_is_held_back():
    """Refused calls count, too, so that it has to stop for a while; others are not concerned."""
    book = RelayBook(RelayLimits(calls_per_minute=10))

    def call(caller, now):
        opened = book.open_circuit(caller, "x", now)
        if opened:
            book.close_circuit(caller, "x")
        return opened

    assert [call("a", second) for second in range(12)] == [True] * 10 + [False] * 2
    assert call("b", 12)
    assert not any(call("a", second) for second in range(12, 300, 5))
    assert call("a", 400)
    assert len(book._calls) == 1
