"""The coordinator's share: no bill above its quote, and nothing for those who take none."""

from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.fee_share import NO_FEE, PER, FeeShare
from peernode.chat.wishes import Wishes
from peernode.wire.prices import Prices

SHARES = st.integers(0, PER).map(FeeShare)
AMOUNTS = st.integers(0, 10**12)


@given(SHARES, st.lists(AMOUNTS, max_size=5))
def test_receipts_and_their_fees_never_cost_more_than_was_quoted(share, receipts):
    assert sum(share.on(cost) for cost in receipts) <= share.most_on(sum(receipts))


@given(SHARES, AMOUNTS)
def test_what_is_there_pays_for_the_service_it_is_said_to_pay_for(share, available):
    within = share.within(available)
    assert share.most_on(within) <= available < share.most_on(within + 1)


@given(SHARES, AMOUNTS, AMOUNTS)
def test_a_providers_price_passes_a_wish_when_the_clients_price_does(share, asked, wished):
    wishes = share.within_wishes(Wishes(max_price_prompt=wished, max_price_completion=wished))
    shown = share.on_prices(Prices(asked, asked, asked))
    assert (asked <= wishes.max_price_prompt) == (shown.prompt <= wished)
    assert (asked <= wishes.max_price_completion) == (shown.completion <= wished)


def test_no_share_changes_nothing():
    wishes, prices = Wishes(max_price_prompt=3), Prices(1, 2, 3)
    assert NO_FEE.within_wishes(wishes) is wishes
    assert (NO_FEE.on_prices(prices), NO_FEE.on(7), NO_FEE.most_on(7), NO_FEE.within(7)) == (prices, 7, 7, 7)
