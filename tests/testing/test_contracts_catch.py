"""Each contract catches parts that are broken on purpose: a rule that cannot fail is no rule.

Backbones have `test_backbone_contract.py`.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

from benchbase.data import DatasetConfig, Log
from benchbase.nn import ItemBias, Modifier, Objective, PrefixTokens
from benchbase.specs import Config, DatasetSpec, ModifierSpec, Needs, Negatives, ObjectiveSpec, RecommenderSpec
from benchbase.testing.contracts import (
    DatasetContract,
    ModifierContract,
    ObjectiveContract,
    RecommenderContract,
    violations,
)
from benchbase.testing.probes import probe_relation
from benchbase.testing.tiny import TinySoftmax, tiny_softmax
from benchbase.testing.world import tiny_data, tiny_log


def broken(contract, rules=None, **attributes):
    """Which of these rules, or of all, the part breaks."""
    names = None if rules is None else [f"test_{rule}" for rule in rules]
    found = violations(type("Checked", (contract,), attributes), names)
    return {name.removeprefix("test_") for name in found}


class AsksWhatWasGiven(Config):
    """As one does that takes filled-in defaults for somebody's choices."""

    depth: int = 1

    @model_validator(mode="after")
    def _nothing_given(self):
        if "depth" in self.model_fields_set:
            raise ValueError("depth means nothing here")
        return self


class OfADataset(AsksWhatWasGiven, DatasetConfig):
    """The same, of a data set."""


WRITTEN = "parameters_written_down_are_the_same_parameters"


class Plain(Modifier):
    def __init__(self, config, context):
        super().__init__()
        self.width = context.width


def modifier(sites, publishes=(), needs=None, init=None, **methods):
    class Broken(Plain):
        def __init__(self, config, context):
            super().__init__(config, context)
            if init is not None:
                init(self)

    for name, method in methods.items():
        setattr(Broken, name, method)
    return ModifierSpec(name="broken", config=Config, build=Broken, source="tests", sites=frozenset(sites),
                        publishes=frozenset(publishes), needs=needs or Needs())


def square(ctx):
    return ctx.tokens.x.shape[0], 1, ctx.tokens.x.shape[1], ctx.tokens.x.shape[1]


def all_ones(ctx):
    return torch.ones(1, 1, *square(ctx)[2:], dtype=ctx.tokens.x.dtype)


def published(self, ctx, layer, h):
    ctx.publish("declared", h)


def absent(self, ctx, layer):
    return None


def drawn_globally(self, ctx, layer, h):
    return h + torch.rand_like(h)


def drawn_in_init(self):
    self.offset = torch.rand(1)


MODIFIERS = {
    "future by weights": (modifier({"weights"}, weights=lambda self, ctx, layer, w: w + 0.1),
                          {"no_look_ahead_on_a_causal_backbone", "padding_and_other_rows_change_nothing"}),
    "future by value": (modifier({"value"}, value=lambda self, ctx, layer, h: h + torch.roll(h, -1, 1)),
                        {"no_look_ahead_on_a_causal_backbone"}),
    "future by states": (modifier({"states"}, states=lambda self, ctx, layer, h: h - h.mean(1, keepdim=True)),
                         {"no_look_ahead_on_a_causal_backbone", "padding_and_other_rows_change_nothing"}),
    "prefix that reads events": (
        modifier({"prefix"}, prefix=lambda self, ctx: PrefixTokens(ctx.embed(ctx.batch.items).mean(1, keepdim=True))),
        {"no_look_ahead_on_a_causal_backbone", "padding_and_other_rows_change_nothing"}),
    "padding by bias": (
        modifier({"bias"}, bias=lambda self, ctx, layer: all_ones(ctx) * ctx.tokens.domain.sum(1)[:, None, None, None]
                 * torch.randn(square(ctx)[2], square(ctx)[2], generator=torch.Generator().manual_seed(0))),
        {"padding_and_other_rows_change_nothing"}),
    "no effect": (modifier({"mask"}, mask=absent), {"the_active_setting_does_something"}),
    "a mask as large as can be": (
        modifier({"mask"}, mask=lambda self, ctx, layer: all_ones(ctx).tril().bool().expand(square(ctx))),
        {"sites_return_what_they_must"}),
    "a mask of numbers": (modifier({"mask"}, mask=lambda self, ctx, layer: all_ones(ctx)),
                          {"sites_return_what_they_must"}),
    "a boost of 0": (modifier({"boost"}, boost=lambda self, ctx, layer: all_ones(ctx).tril(-1)),
                     {"sites_return_what_they_must"}),
    "a method not declared": (modifier({"mask"}, mask=absent, bias=absent), {"sites_declared_are_the_methods_defined"}),
    "a site without a method": (modifier({"mask"}), {"sites_declared_are_the_methods_defined"}),
    "a trace not published": (modifier({"states"}, publishes={"declared", "more"}, states=published),
                              {"traces_declared_are_traces_published"}),
    "global noise": (modifier({"states"}, states=drawn_globally), {"it_draws_from_its_own_generator_alone"}),
    "unused parameter": (modifier({"states"}, states=lambda self, ctx, layer, h: 2 * h,
                                  init=lambda self: setattr(self, "spare", nn.Linear(2, 2))),
                         {"gradients_reach_every_parameter"}),
    "state outside state_dict": (
        modifier({"states"}, states=lambda self, ctx, layer, h: h + self.offset, init=drawn_in_init),
        {"a_state_dict_restores_it"}),
    "defaults taken for choices": (replace(modifier({"bias"}), config=AsksWhatWasGiven), {WRITTEN}),
    "fits nothing": (modifier({"mask"}, needs=Needs(training=frozenset({"masked"}), causal=True), mask=absent),
                     {"it_fits_a_backbone"}),
}


@pytest.mark.parametrize("name", MODIFIERS)
def test_modifiers(name):
    spec, expected = MODIFIERS[name]
    assert broken(ModifierContract, expected, spec=spec) == expected


NEUTRAL = {"the_neutral_setting_is_the_plain_backbone"}


def test_a_neutral_setting_that_takes_another_route():
    needless = modifier({"mask"}, mask=lambda self, ctx, layer: all_ones(ctx).bool())
    assert broken(ModifierContract, NEUTRAL, spec=needless, neutral={})
    assert not broken(ModifierContract, NEUTRAL, spec=modifier({"mask"}, mask=absent), neutral={})


def test_a_neutral_setting_that_changes_the_numbers():
    assert broken(ModifierContract, NEUTRAL, spec=probe_relation, neutral={"strength": 1e-12})


def objective(losses=None, init=None, needs=None, **methods):
    class Broken(TinySoftmax):
        def __init__(self, config, context):
            super().__init__()
            self.n_items = context.n_items
            if init is not None:
                init(self)

    if losses is not None:
        Broken.losses = losses
    for name, method in methods.items():
        setattr(Broken, name, method)
    return ObjectiveSpec(name="broken", config=Config, build=Broken, source="tests", needs=needs or Needs())


def each(output, targets):
    return F.cross_entropy(output.scorer.scores(output.states), targets.item - 1, reduction="none")


def unweighted(self, output, targets, batch):
    return {"loss": each(output, targets).mean()}


def weighted_sum(self, output, targets, batch):
    return {"loss": (each(output, targets) * targets.weights).sum()}


def nothing_to_divide_by(self, output, targets, batch):
    return {"loss": (each(output, targets) * targets.weights).sum() / targets.weights.sum()}


def batch_norm(self, output, targets, batch):
    losses = each(output, targets)
    return {"loss": targets.mean(losses - losses.mean() * 0.5)}


def vector(self, output, targets, batch):
    return {"loss": each(output, targets)}


def detached(self, output, targets, batch):
    return {"loss": targets.mean(each(output, targets)).detach()}


def dropped(self, output, targets, batch):
    return {"loss": targets.mean(each(output, targets) * torch.rand(len(targets)))}


def by_width(self, output, targets, batch):
    return {"loss": targets.mean(each(output, targets)) * batch.items.shape[1]}


def by_name(self, output, targets, batch):
    return {"loss": targets.mean(each(output, targets) * targets.item)}


def unmasked(self, output, targets, batch):
    negative = output.scorer.score_items(output.states, targets.negatives) - targets.log_q_negatives
    positive = output.scorer.score_items(output.states, targets.item[:, None]).squeeze(1)
    return {"loss": targets.mean(F.softplus(negative.logsumexp(1) - positive))}


def of_another_row(self, output, targets, batch):
    drawn = targets.negatives.roll(1, 0)[targets.row]
    negative = output.scorer.score_items(output.states, drawn)
    positive = output.scorer.score_items(output.states, targets.item[:, None]).squeeze(1)
    kept = negative.masked_fill(drawn == targets.item[:, None], float("-inf"))
    return {"loss": targets.mean(F.softplus(kept.logsumexp(1) - positive))}


def keeps(self, parameters):
    self.__dict__["kept"] = parameters


def moves(self, batches, loss):
    for each in self.kept:
        each.parameter.data.add_(0.01)


def drawing(scope):
    return Needs(tasks=frozenset({"next_item"}), negatives=Negatives(count=3, scope=scope))


OBJECTIVES = {
    "deaf to its negatives": (objective(needs=drawing("position")), {"negatives_have_a_say_and_their_order_has_none"}),
    "another row's negatives": (objective(of_another_row, needs=drawing("sequence")),
                                {"negatives_of_a_sequence_serve_it_alone"}),
    "its own negative": (objective(unmasked, needs=drawing("batch")), {"a_target_among_its_own_negatives_has_no_say"}),
    "defaults taken for choices": (replace(objective(), config=AsksWhatWasGiven), {WRITTEN}),
    "weights ignored": (objective(unweighted), {"weights_are_honoured", "an_example_of_weight_0_has_no_say"}),
    "a sum for a mean": (objective(weighted_sum), {"twice_the_weights_is_the_same_mean"}),
    "0 / 0": (objective(nothing_to_divide_by), {"all_weights_0_is_still_finite"}),
    "others of weight 0": (objective(batch_norm), {"an_example_of_weight_0_has_no_say"}),
    "no scalar": (objective(vector), {"losses_are_finite_scalars_that_can_be_learned_from"}),
    "no gradient": (objective(detached), {"losses_are_finite_scalars_that_can_be_learned_from"}),
    "global noise": (objective(dropped), {"equal_input_gives_equal_losses"}),
    "width of the padding": (objective(by_width), {"padding_changes_no_loss"}),
    "item ids as numbers": (objective(by_name), {"names_of_items_do_not_matter"}),
    "unused parameter": (objective(init=lambda self: setattr(self, "spare", nn.Linear(2, 2))),
                         {"gradients_reach_its_own_parameters"}),
    "state outside state_dict": (
        objective(lambda self, o, t, b: {"loss": t.mean(each(o, t)) * self.factor},
                  init=lambda self: setattr(self, "factor", torch.rand(()))), {"a_state_dict_restores_it"}),
    "negative example weights": (objective(example_weights=lambda self, t, b: -t.weights),
                                 {"example_weights_are_finite_factors"}),
    "a term of another shape": (objective(score_term=lambda self, b, items, phase: ItemBias(torch.zeros(3))),
                                {"score_terms_are_one_matrix_however_it_is_asked_for"}),
    "a term blind to the items asked for": (
        objective(score_term=lambda self, b, items, phase: torch.arange(30.0)[: len(items)].expand(b.n_rows, -1)),
        {"score_terms_are_one_matrix_however_it_is_asked_for"}),
    "parameters moved between periods": (objective(bind=keeps, period_ended=moves),
                                         {"the_end_of_a_period_moves_no_parameter"}),
    "negative groups": (objective(groups=lambda self, tokens: -tokens.x), {"groups_are_shares_of_keys"}),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    spec, expected = OBJECTIVES[name]
    assert broken(ObjectiveContract, expected, spec=spec) == expected


def test_an_objective_without_any_loss():
    class Silent(Objective):
        def __init__(self, config, context):
            super().__init__()

    spec = replace(tiny_softmax, name="silent", build=Silent, needs=Needs(tasks=frozenset({"action"})))
    assert broken(ObjectiveContract, {"losses_are_finite_scalars_that_can_be_learned_from"}, spec=spec)


class Counts:
    def __init__(self, config, context):
        self.n_items = context.n_items

    def fit(self, train, context):
        self.counts = np.bincount(train.item - 1, minlength=self.n_items).astype(float)

    def scores(self, histories, times):
        return np.tile(self.counts, (histories.n_rows, 1))


def recommender(scores=None, fit=None):
    class Broken(Counts):
        pass

    if scores is not None:
        Broken.scores = scores
    if fit is not None:
        Broken.fit = fit
    return RecommenderSpec(name="broken", config=Config, build=Broken, source="tests")


def mean_history(self, histories, times):
    with np.errstate(invalid="ignore"):
        return np.add.reduceat(np.append(histories.item, 0.0), histories.offsets[:-1])[:, None] / histories.lengths[
            :, None] * self.counts


def sorts_in_place(self, train, context):
    train.item.sort()
    Counts.fit(self, train, context)


def adds_up(self, train, context):
    before = getattr(self, "counts", 0.0)
    Counts.fit(self, train, context)
    self.counts = self.counts + before


RECOMMENDERS = {
    "a column too many": (recommender(lambda self, h, t: np.tile(np.append(0, self.counts), (h.n_rows, 1))),
                          "scores_are_finite_and_one_per_item"),
    "NaN without history": (recommender(mean_history), "scores_are_finite_and_one_per_item"),
    "all equal": (recommender(lambda self, h, t: np.zeros((h.n_rows, 30))), "scores_are_finite_and_one_per_item"),
    "unseeded": (recommender(lambda self, h, t: np.random.default_rng().random((h.n_rows, 30))),
                 "fitted_again_it_scores_the_same"),
    "adds to what it knew": (recommender(fit=adds_up), "fitted_on_more_it_forgets_what_it_was_fitted_on_before"),
    "writes into what it is given": (recommender(fit=sorts_in_place), "it_changes_nothing_that_it_is_given"),
    "defaults taken for choices": (replace(recommender(), config=AsksWhatWasGiven), WRITTEN),
    "rows see each other": (recommender(lambda self, h, t: self.counts + np.arange(h.n_rows)[:, None]),
                            "rows_do_not_see_each_other"),
    "item ids as numbers": (recommender(lambda self, h, t: np.tile(np.arange(30.0), (h.n_rows, 1))),
                            "names_of_items_do_not_matter"),
}


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_recommenders(name):
    spec, expected = RECOMMENDERS[name]
    assert broken(RecommenderContract, {expected}, spec=spec) == {expected}


def test_a_sound_recommender_is_let_through():
    assert broken(RecommenderContract, spec=recommender()) == set()


calls = iter(range(10**6))


def dataset(build, files=lambda config, context: []):
    return DatasetSpec(name="broken", config=tiny_data.config, build=build, files=files, source="tests")


class LastRows:
    """A truth that forgets all rows but those it saw last."""

    traces = frozenset()
    seen = None

    def observe(self, items, traces, attention):
        self.seen = items

    def metrics(self):
        return {} if self.seen is None else {"items": float((self.seen > 0).sum())}

    def chance(self):
        return {}


DATASETS = {
    "a truth of the last rows": (replace(tiny_data, truth=lambda config, catalogue, seed: LastRows()),
                                 "its_truth_does_not_depend_on_how_rows_are_taken_in"),
    "no log": (dataset(lambda config, context: {}), "the_log_is_whole"),
    "empty": (dataset(lambda config, context: Log(np.array([], int), np.array([], int))), "the_log_is_whole"),
    "ragged": (dataset(lambda config, context: replace(tiny_log(), timestamp=np.arange(3))), "the_log_is_whole"),
    "NaN": (dataset(lambda config, context: replace(tiny_log(), actions={"like": tiny_log().user * np.nan})),
            "the_log_is_whole"),
    "unseeded": (dataset(lambda config, context: tiny_log(seed=next(calls))), "prepared_again_it_is_the_same"),
    "defaults taken for choices": (replace(tiny_data, config=OfADataset), WRITTEN),
    "user ids that are not there": (dataset(lambda config, context: replace(tiny_log(), user=tiny_log().user[:5])),
                                    "it_prepares_to_sorted_interactions_of_known_items"),
    "a file that is not there": (dataset(lambda config, context: tiny_log(), lambda config, context: ["/nowhere"]),
                                 "what_it_reads_are_its_files"),
}


@pytest.mark.parametrize("name", DATASETS)
def test_datasets(name):
    spec, expected = DATASETS[name]
    assert broken(DatasetContract, {expected}, spec=spec) == {expected}


def test_refused_parameters_are_told_in_the_contracts_own_words():
    contract = type("Checked", (ObjectiveContract,), {"spec": OBJECTIVES["defaults taken for choices"][0]})
    message, = violations(contract, [f"test_{WRITTEN}"]).values()
    assert "are refused: Value error, depth means nothing here. Expected them accepted: ask" in message


def rules(contract):
    return {name.removeprefix("test_") for name in dir(contract) if name.startswith("test_")}


def test_every_rule_is_broken_by_some_part():
    assert set().union(*(expected for _, expected in MODIFIERS.values()), NEUTRAL) == rules(ModifierContract)
    assert set().union(*(expected for _, expected in OBJECTIVES.values())) == rules(ObjectiveContract)
    assert {expected for _, expected in RECOMMENDERS.values()} == rules(RecommenderContract)
    assert {expected for _, expected in DATASETS.values()} == rules(DatasetContract)
