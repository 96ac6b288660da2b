"""A configuration may read fewer events than the protocol allows; what is asked and how it is judged stays."""

import pytest

from benchbase.errors import Refusal
from benchbase.evaluate import rank
from benchbase.specs import SequenceConfig
from benchbase.testing.build import make_experiment
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.train import fit


def experiment(window, own=None, **train):
    return make_experiment(tiny_causal, objectives=[tiny_softmax], protocol={"window": window}, train=train,
                           sequence=SequenceConfig(window=own))


@pytest.mark.parametrize("own", [1, 3])
def test_it_reads_and_learns_what_a_protocol_of_that_window_gives(own):
    one, other = experiment(8, own), experiment(own)
    assert one.context.window == own and one.context.max_tokens == other.context.max_tokens
    for groups, same in zip(one.feed.train_batches(1, 8, 2), other.feed.train_batches(1, 8, 2), strict=True):
        for group, twin in zip(groups, same, strict=True):
            assert (group.batch.items == twin.batch.items).all() and (group.targets.item == twin.targets.item).all()
    fit(one), fit(other)
    assert (rank(one, "test").above == rank(other, "test").above).all()


def test_seen_items_are_those_of_the_protocols_window():
    """`filter_seen: window` is a rule of the protocol: whoever reads less is asked the same."""
    protocol = {"window": 8, "filter_seen": "window"}
    narrow = make_experiment(tiny_causal, objectives=[tiny_softmax], protocol=protocol,
                             sequence=SequenceConfig(window=2))
    wide = make_experiment(tiny_causal, objectives=[tiny_softmax], protocol=protocol)
    assert (rank(narrow, "test").candidates == rank(wide, "test").candidates).all()
    own = make_experiment(tiny_causal, objectives=[tiny_softmax], protocol={"window": 2, "filter_seen": "window"})
    assert len(rank(own, "test").above) > len(rank(wide, "test").above)  # fewer targets were seen before


def test_more_than_the_protocol_allows_is_refused():
    with pytest.raises(Refusal, match=r"^sequence\.window: 9 events are more than the window that the protocol "
                                      r"allows, 8\. Expected at most 8\."):
        experiment(8, 9)


def test_windows_of_training_follow_it():
    with pytest.raises(Refusal, match=r"leaves out events between windows of 3. Expected a stride of at most 3"):
        experiment(8, 3, windows="slide[stride=4]")
