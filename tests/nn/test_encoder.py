"""Encoders: what they add to the items' table, made once where all are needed, else of those asked for alone."""

from dataclasses import replace

import pytest
import torch

from benchbase.errors import PluginError, Refusal
from benchbase.evaluate import flops_per_sequence, rank
from benchbase.nn import EncodedItems, Encoder, ItemEmbedding
from benchbase.specs import Config, EncoderSpec, Needs, Negatives, ObjectiveSpec, ScorerConfig
from benchbase.testing.build import forward, make_experiment, make_model, train_step
from benchbase.testing.probes import Facts, ProbeConfig, probe_balance, probe_domain_mass, probe_facts
from benchbase.testing.tiny import TinySoftmax, tiny_bce, tiny_bidirectional, tiny_causal, tiny_softmax
from benchbase.testing.world import tiny_batch, tiny_world
from benchbase.train import fit, tag_parameters
from benchbase.train.losses import Means
from benchbase.train.steps import Steps

WIDTH = 8


def model_of(backbone=tiny_causal, **parts):
    return make_model(backbone, **{"objectives": [tiny_softmax], "encoders": [probe_facts], **parts}).double()


class Counts(Encoder):
    """One learned vector for all items, and notes of how many were asked for each time."""

    def __init__(self, width):
        super().__init__()
        self.vector, self.asked = torch.nn.Parameter(torch.ones(width)), []

    def forward(self, items, ctx):
        self.asked.append(len(items))
        return self.vector.expand(len(items), -1)


class Sampled(TinySoftmax):
    """Asks of its targets and negatives alone."""

    def losses(self, output, targets, batch):
        own = output.scorer.score_items(output.states, torch.cat([targets.item[:, None], targets.negatives], dim=1))
        return {"sampled": -targets.mean(own.log_softmax(1)[:, 0])}


def spec_of(build, name="counts", **fields):
    return EncoderSpec(name=name, config=Config, build=build, source="here", **fields)


COUNTS = spec_of(lambda config, context: Counts(context.width))
class Plain(Facts):
    """The probe without its dropout."""

    def forward(self, items, ctx):
        return self.labels[items - 1] @ self.table


no_dropout_facts = spec_of(lambda config, context: Plain(ProbeConfig(), context), "facts")
SAMPLED = ObjectiveSpec(name="sampled", config=Config, build=lambda config, context: Sampled(), source="here",
                        needs=Needs(negatives=Negatives(count=3)))


@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional], ids=lambda spec: spec.name)
def test_states_and_scores_are_those_of_a_table_with_the_sums(backbone):
    model, plain = model_of(backbone), make_model(backbone, objectives=[tiny_softmax]).double()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if ".encoders." not in name})
    encoder = model.embedding.encoders["probe_facts"]
    with torch.no_grad():
        plain.embedding.table += encoder.strength * encoder.labels @ encoder.table
    batch, targets = tiny_batch(masked=backbone.training == "masked", dtype=torch.float64)
    one, other = (forward(made, batch, targets, "score").output for made in (model, plain))
    torch.testing.assert_close(one.states, other.states, atol=1e-12, rtol=0)
    torch.testing.assert_close(one.scorer.scores(one.states), other.scorer.scores(other.states), atol=1e-12, rtol=0)
    asked = torch.tensor([3, 3, 0, 30])
    torch.testing.assert_close(one.embed(asked), other.embed(asked), atol=1e-12, rtol=0)
    torch.testing.assert_close(model.embedding(asked), plain.embedding(asked), atol=1e-12, rtol=0)
    torch.testing.assert_close(model.embedding.rows(asked[:2]), plain.embedding.rows(asked[:2]), atol=1e-12, rtol=0)


def test_several_encoders_add_up_and_each_draws_its_own():
    both = model_of(encoders=[probe_facts, COUNTS])
    alone = model_of()
    assert list(both.embedding.encoders) == ["probe_facts", "counts"]
    torch.testing.assert_close(both.embedding.items(), alone.embedding.items() + 1)
    assert set(both.generators) - set(alone.generators) == {"encoder.counts"}
    assert both.generators["encoder.probe_facts"] is both.embedding.generators["probe_facts"]


def test_a_model_without_encoders_is_what_it_was_and_with_them_starts_alike():
    model, encoded = make_model(tiny_causal, objectives=[tiny_softmax]).double(), model_of()
    assert type(model.embedding) is ItemEmbedding and model.items("train") is model.embedding
    found = dict(encoded.named_parameters())
    assert all(torch.equal(found[name], parameter) for name, parameter in model.named_parameters())


def one_step(**parts):
    """An experiment whose rows lie in three groups of lengths, and the gradients of its first step."""
    made = make_experiment(tiny_causal, train={"batch": 24, "buckets": 3}, **parts)
    steps = Steps(made, made.model, lambda groups: torch.optim.SGD([{"params": group} for group in groups], lr=0.0))
    groups = next(made.feed.train_batches(1, 24, 3))
    assert len(groups) == 3
    steps.step(groups, Means())
    return made, {name: p.grad.clone() for name, p in made.model.named_parameters() if p.grad is not None}


def test_vectors_of_all_items_are_made_once_for_a_step_and_once_for_a_ranking():
    made, _ = one_step(objectives=[tiny_softmax], encoders=[COUNTS])
    asked = made.model.embedding.encoders["counts"].asked
    assert asked == [30]
    rank(made, "test")
    assert asked == [30, 30]


@pytest.mark.parametrize("parts", [{}, {"objectives": [tiny_softmax, probe_domain_mass], "combiner": probe_balance}],
                         ids=["sum", "combiner"])
def test_gradients_of_a_step_are_those_of_groups_that_make_their_own(parts, monkeypatch):
    parts = {"objectives": [tiny_softmax], "encoders": [no_dropout_facts], **parts}
    _, found = one_step(**parts)
    monkeypatch.setattr("benchbase.train.steps.for_several_passes", lambda items: (None, lambda: None))
    monkeypatch.setattr("benchbase.nn.SequenceModel.items", lambda self, phase: self.embedding.bound(phase))
    _, wanted = one_step(**parts)
    assert found.keys() == wanted.keys() and "embedding.encoders.facts.table" in found
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], atol=1e-6, rtol=1e-4)


def test_the_action_task_and_separate_vectors_make_those_that_they_read():
    for parts in ({"scorer": ScorerConfig(output="separate")}, {"protocol": {"tasks": ["action"], "metrics": ["auc"]}}):
        objective = tiny_bce if "protocol" in parts else tiny_softmax
        made = make_experiment(tiny_causal, objectives=[objective], encoders=[COUNTS], **parts)
        assert not made.model.embedding.at_once


def test_vectors_of_many_items_are_made_in_chunks_where_nothing_is_learned(monkeypatch):
    monkeypatch.setattr("benchbase.nn.encoder.CHUNK", 7)
    model = make_model(tiny_causal, objectives=[tiny_softmax], encoders=[COUNTS])
    asked = model.embedding.encoders["counts"].asked
    whole = model.embedding.items()
    assert asked == [30]
    with torch.inference_mode():
        torch.testing.assert_close(model.embedding.items(), whole.detach())
    assert asked[1:] == [7, 7, 7, 7, 2]


def test_a_part_that_shapes_the_table_refuses_encoders():
    bare = ObjectiveSpec(name="bare", config=Config, build=lambda config, context: TinySoftmax(), source="here",
                         needs=Needs(bare_items=True))
    make_experiment(tiny_causal, objectives=[bare])
    with pytest.raises(Refusal) as error:
        make_experiment(tiny_causal, objectives=[bare], encoders=[COUNTS])
    assert str(error.value) == ("bare + counts: bare shapes the table of items, and encoders add to it. Expected no "
                                "encoders.")


def test_a_step_with_negatives_makes_those_vectors_that_it_reads():
    model = make_model(tiny_causal, objectives=[SAMPLED], encoders=[COUNTS])
    batch, targets = tiny_batch(n_rows=1, length=2)
    train_step(model, batch, targets)
    scored = torch.cat([targets.item[:, None], targets.negatives], 1).unique()
    assert model.embedding.encoders["counts"].asked == [len(batch.items.unique()), len(scored)]
    assert len(scored) < 30


@pytest.mark.parametrize("at_once", [True, False])
def test_losses_and_gradients_do_not_depend_on_what_is_made_at_once(at_once):
    model = model_of(objectives=[SAMPLED])
    model.embedding.at_once = at_once
    model.embedding.encoders["probe_facts"].strength = 2.0
    batch, targets = tiny_batch(dtype=torch.float64)
    with torch.random.fork_rng():
        step = forward(model, batch, targets, "score")
        loss = step.losses["sampled.sampled"]
    table = model.embedding.encoders["probe_facts"].table
    found = torch.autograd.grad(loss, [table, model.embedding.table])
    # the same by hand, all vectors made beforehand
    other = model_of(objectives=[SAMPLED])
    other.load_state_dict(model.state_dict())
    other.embedding.encoders["probe_facts"].strength = 2.0
    other.embedding.at_once = not at_once
    again = forward(other, batch, targets, "score").losses["sampled.sampled"]
    wanted = torch.autograd.grad(again, [other.embedding.encoders["probe_facts"].table, other.embedding.table])
    torch.testing.assert_close(loss, again)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two, atol=1e-12, rtol=1e-10)


def test_vectors_are_made_in_full_precision_under_a_low_one():
    model = make_model(tiny_causal, objectives=[tiny_softmax], encoders=[probe_facts])
    batch, _ = tiny_batch()
    plain = model.embedding.items()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        items = model.encode(batch, "score").items
    assert items.items().dtype == torch.float32
    torch.testing.assert_close(items.items(), plain, atol=0, rtol=0)


def test_parameters_of_an_encoder_belong_to_the_embedding():
    tags = {each.name: each.tag for each in tag_parameters(model_of())}
    assert tags["embedding.encoders.probe_facts.table"] == "embedding" == tags["embedding.table"]


def test_vectors_of_items_are_no_cost_of_a_sequence():
    plain, encoded = (make_experiment(tiny_causal, objectives=[tiny_softmax], encoders=encoders)
                      for encoders in ([], [probe_facts]))
    assert flops_per_sequence(plain) == flops_per_sequence(encoded)


def test_a_run_learns_from_features_what_a_table_cannot_know():
    """Of items never trained on, those alike share what their label has learned."""
    made = make_experiment(tiny_causal, objectives=[tiny_softmax], encoders=[probe_facts], train={"epochs": 5})
    before = made.model.embedding.items().detach().clone()
    fit(made)
    moved = (made.model.embedding.items() - made.model.embedding.table).detach()
    labels = made.model.embedding.encoders["probe_facts"].labels
    alike = (labels == labels[0]).all(1)
    assert alike.sum() > 1 and torch.allclose(moved[alike], moved[0].expand(int(alike.sum()), -1), atol=1e-6)
    assert not torch.allclose(moved[~alike][0], moved[0], atol=1e-3)
    assert not torch.equal(before, made.model.embedding.items())


@pytest.mark.parametrize(("shape", "given"), [((1, WIDTH), "(1, 8)"), ((30, 1), "(30, 1)")])
def test_vectors_of_another_shape_are_refused(shape, given):
    class Narrow(Encoder):
        def forward(self, items, ctx):
            return torch.zeros(shape)

    model = make_model(tiny_causal, objectives=[tiny_softmax], encoders=[spec_of(lambda *_: Narrow(), "narrow")])
    with pytest.raises(PluginError) as error:
        model.encode(tiny_batch()[0], "train")
    assert str(error.value) == (f"encoder narrow: vectors have shape {given}. Expected (30, 8), one for each item that "
                                "it is asked for. Mend its forward.")


def test_a_build_that_returns_no_encoder_is_refused():
    wrong = spec_of(lambda *_: torch.nn.Linear(1, 1), "wrong")
    with pytest.raises(PluginError) as error:
        make_model(tiny_causal, objectives=[tiny_softmax], encoders=[wrong])
    assert str(error.value) == ("encoder wrong: build returned a Linear. Expected a benchbase.nn.Encoder. Derive its "
                                "class from it.")


def test_what_an_encoder_needs_is_asked_before_it_is_built():
    needy = spec_of(lambda *_: None, "needy", needs=Needs(features=frozenset({"title"})))
    with pytest.raises(Refusal) as error:
        make_experiment(tiny_causal, objectives=[tiny_softmax], encoders=[needy])
    assert str(error.value) == ("needy: the data set has no item feature title. Expected a data set that has; at hand: "
                                "year.")
    world = tiny_world()
    bare = replace(world, catalogue=replace(world.catalogue, categories={}))
    with pytest.raises(Refusal, match="probe_facts: the data set has no categories"):
        make_experiment(tiny_causal, objectives=[tiny_softmax], encoders=[probe_facts], world=bare)


def test_the_embedding_of_encoders_keeps_its_hidden_vector_and_its_padding():
    model = model_of(tiny_bidirectional)
    assert isinstance(model.embedding, EncodedItems)
    items, hide = torch.tensor([[1, 0, 2]]), torch.tensor([[False, False, True]])
    found = model.embedding(items, hide)[0]
    assert torch.equal(found[0], model.embedding.items()[0]) and not found[1].any()
    assert torch.equal(found[2], model.embedding.hidden)
