"""Losses on sampled negatives against slow references in float64 and an independent library, and their laws."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from benchbase_losses import benchbase_objectives
from info_nce import info_nce
from pydantic import ValidationError
from torch import Tensor

from benchbase import BuildContext, Negatives
from benchbase.data.batches import Targets
from benchbase.data.draws import draw_items, make_law, mix
from benchbase.nn import BoundScorer, ItemBias, ItemEmbedding, Scorer
from benchbase.specs import ScorerConfig
from benchbase.testing.build import make_experiment, train_step
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise

torch.set_num_threads(1)
SPECS = {spec.name: spec for spec in benchbase_objectives()}
NEXT_ITEM = [name for name in SPECS if name != "action_bce"]
SAMPLED = [name for name in NEXT_ITEM if name != "softmax"]
N, D, P = 11, 5, 6
CONTEXT = BuildContext(n_items=N, n_users=3, window=8, max_tokens=8)
SCORERS = [ScorerConfig(), ScorerConfig(score="cosine", temperature=0.2), ScorerConfig(output="separate", bias=True)]
SHARED = torch.tensor([5, 8, 8, 2, 9])  # one twice, one the target of two positions
DRAWN = {"position": torch.tensor([[5, 6, 7], [7, 8, 8], [9, 10, 11], [1, 1, 2], [2, 3, 4], [4, 5, 6]]),
         "sequence": torch.tensor([[5, 1, 7], [7, 8, 8], [9, 10, 4]]), "batch": SHARED}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def objective(name: str, **parameters: Any) -> Any:
    spec = SPECS[name]
    return spec.build(spec.config(**parameters), CONTEXT)


class Setting:
    """States of six positions, two a row, a scorer, and targets with weights and negatives."""

    def __init__(self, config: ScorerConfig | None = None, terms: Any = (), scope: str = "batch"):
        embedding = ItemEmbedding(N, D, hidden=False).double()
        torch.nn.init.normal_(embedding.table)
        scorer = Scorer(config or ScorerConfig(), embedding).double()
        if scorer.item_bias is not None:
            torch.nn.init.normal_(scorer.item_bias)
        self.states = torch.randn(P, D, dtype=torch.float64, requires_grad=True)
        self.leaves = [self.states, *embedding.parameters(), *scorer.parameters()]
        row = torch.arange(P) // 2
        drawn, law = DRAWN[scope], torch.log_softmax(torch.randn(N, dtype=torch.float64), 0)
        item = torch.tensor([1, 2, 3, 4, 1, 2])
        self.targets = Targets("next_item", row, torch.arange(P) % 2, item, torch.zeros(P, 0),
                               torch.rand(P, dtype=torch.float64), drawn, law[item - 1], law[drawn - 1])
        self.output: Any = SimpleNamespace(states=self.states, scorer=BoundScorer(scorer, row, terms))

    def loss(self, name: str, targets: Targets | None = None, **parameters: Any) -> Tensor:
        made = objective(name, **parameters).losses(self.output, targets or self.targets, None)
        assert list(made) == ["nll"]
        return made["nll"]  # type: ignore[no-any-return]

    def gradients(self, loss: Tensor) -> list[Tensor]:
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True, retain_graph=True)
        return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(self.leaves, found, strict=True)]

    def reference(self, name: str, scope: str, **parameters: Any) -> Tensor:
        """Position by position, negative by negative, from scores of all items."""
        targets, scores = self.targets, self.output.scorer.scores(self.states)
        assert targets.negatives is not None and targets.log_q is not None and targets.log_q_negatives is not None
        total = torch.zeros((), dtype=torch.float64)
        for p in range(P):
            at = {"position": p, "sequence": int(targets.row[p]), "batch": slice(None)}[scope]
            own = int(targets.item[p])
            pairs = [(scores[p, j - 1], q) for j, q in zip(targets.negatives[at].tolist(), targets.log_q_negatives[at],
                                                           strict=True) if j != own or "keep_positive" in parameters]
            total = total + targets.weights[p] * REFERENCES[name](
                scores[p, own - 1], targets.log_q[p], pairs, targets.negatives.shape[-1], parameters)
        return total / targets.weights.sum()


def bce(positive: Tensor, _: Tensor, pairs: Any, k: int, parameters: Any) -> Tensor:
    return -positive.sigmoid().log() - sum((1 - s.sigmoid()).log() for s, _ in pairs)  # type: ignore[no-any-return]


def gbce(positive: Tensor, _: Tensor, pairs: Any, k: int, parameters: Any) -> Tensor:
    alpha = k / (N - 1)
    beta = alpha * (parameters["t"] * (1 - 1 / alpha) + 1 / alpha)
    calibrated = (positive.sigmoid() ** beta).log()
    return -calibrated - sum((1 - s.sigmoid()).log() for s, _ in pairs)  # type: ignore[no-any-return]


def softmax_among(positive: Tensor, negatives: list[Tensor]) -> Tensor:
    every = torch.stack([positive, *negatives])
    return -(every.exp()[0] / every.exp().sum()).log()


def sampled_softmax(positive: Tensor, log_q: Tensor, pairs: Any, k: int, parameters: Any) -> Tensor:
    correct = parameters.get("correct", "negatives")
    if correct == "none":
        return softmax_among(positive, [s for s, _ in pairs])
    if correct == "both":
        return softmax_among(positive - log_q, [s - q for s, q in pairs])
    return softmax_among(positive, [s - math.log(k) - q for s, q in pairs])


def infonce(positive: Tensor, _: Tensor, pairs: Any, k: int, parameters: Any) -> Tensor:
    tau = parameters.get("temperature", 1.0)
    return softmax_among(positive / tau, [s / tau for s, _ in pairs])


def bpr(positive: Tensor, _: Tensor, pairs: Any, k: int, parameters: Any) -> Tensor:
    if not pairs:
        return 0 * positive
    return torch.stack([-(positive - s).sigmoid().log() for s, _ in pairs]).mean()


REFERENCES = {"bce": bce, "gbce": gbce, "sampled_softmax": sampled_softmax, "infonce": infonce, "bpr": bpr}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("bce", {}), ("gbce", {"t": 0.75}), ("gbce", {"t": 1.0}), ("sampled_softmax", {}),
    ("sampled_softmax", {"correct": "none"}), ("sampled_softmax", {"correct": "both"}), ("infonce", {}),
    ("infonce", {"temperature": 0.3}), ("bpr", {}), ("bpr", {"keep_positive": True}),
    ("infonce", {"keep_positive": True}),
]


def assert_same(setting: Setting, ours: Tensor, reference: Tensor) -> None:
    torch.testing.assert_close(ours, reference)
    for a, b in zip(setting.gradients(ours), setting.gradients(reference), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("config", SCORERS, ids=str)
@pytest.mark.parametrize("scope", list(DRAWN))
@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_it_equals_the_slow_reference(name: str, parameters: dict[str, Any], scope: str, config: ScorerConfig) -> None:
    matrix = torch.randn(3, N, dtype=torch.float64)
    vector = torch.randn(N, dtype=torch.float64)
    for terms in ((), [lambda items: matrix[:, items - 1], lambda items: ItemBias(vector)]):
        setting = Setting(config, terms, scope)
        assert_same(setting, setting.loss(name, scope=scope, **parameters),
                    setting.reference(name, scope, **parameters))


@pytest.mark.parametrize("name", SAMPLED)
def test_scores_as_large_as_you_like(name: str) -> None:
    setting = Setting()
    with torch.no_grad():
        setting.states *= 1e6
    loss = setting.loss(name, **({} if name == "in_batch_softmax" else {"scope": "batch"}))
    assert loss.isfinite() and all(g.isfinite().all() for g in setting.gradients(loss))


@pytest.mark.parametrize("name", [name for name in SAMPLED if name not in ("bce", "gbce")])
def test_with_nothing_but_the_target_to_tell_it_from_there_is_nothing_to_learn(name: str) -> None:
    setting = Setting()
    items, drawn = torch.full((P,), 7), torch.full((4,), 7)
    parameters: dict[str, Any] = {} if name == "in_batch_softmax" else {"scope": "batch"}
    for negatives in (drawn, drawn[:0]):
        assert setting.targets.log_q_negatives is not None
        given = replace(setting.targets, item=items, negatives=negatives,
                        log_q_negatives=setting.targets.log_q_negatives[: len(negatives)])
        loss = setting.loss(name, given, **parameters)
        assert loss.item() == 0 and all((g == 0).all() for g in setting.gradients(loss))


def test_gbce_without_calibration_is_bce_and_so_it_is_with_every_item_drawn() -> None:
    setting = Setting(scope="position")
    plain = setting.loss("bce")
    assert setting.loss("gbce", t=0.0).item() == plain.item() != setting.loss("gbce", t=1.0).item()
    for k in (N - 1, 50):
        others = (setting.targets.item[:, None] - 1 + torch.arange(1, N)) % N + 1  # (P, N - 1), all but the target
        given = replace(setting.targets, negatives=others.repeat(1, -(-k // (N - 1)))[:, :k])
        assert setting.loss("gbce", given, t=1.0).item() == setting.loss("bce", given).item()


def test_gbce_counts_the_negatives_that_were_drawn() -> None:
    """Of the step's targets there may be fewer than were asked for."""
    spec = SPECS["gbce"]
    asked = spec.build(spec.config(negatives=5, law="in_batch", scope="batch"), CONTEXT)
    assert asked.beta(5) == spec.build(spec.config(negatives=5), CONTEXT).beta(5) > asked.beta(2)


@pytest.mark.parametrize("negatives", [1, 3, 10])
def test_gbce_at_full_calibration_is_least_at_the_probability_of_the_softmax(negatives: int) -> None:
    """The claim of the paper: sigmoid(s) tends to the probability p of the item, where bce's runs above it."""
    spec, p = SPECS["gbce"], 0.2
    alpha = negatives / (N - 1)
    beta = spec.build(spec.config(negatives=negatives, t=1.0), CONTEXT).beta(negatives)
    score = torch.linspace(-5, 5, 200_001, dtype=torch.float64)
    expected = p * beta * F.softplus(-score) + (1 - p) * alpha * F.softplus(score)
    assert score[expected.argmin()].sigmoid().item() == pytest.approx(p, abs=1e-4)


def everything_but_the_target(setting: Setting) -> Targets:
    """Every other item once for each position, of a law that is uniform over them."""
    others = torch.stack([torch.tensor([j for j in range(1, N + 1) if j != i]) for i in setting.targets.item.tolist()])
    log_q = torch.full(others.shape, -math.log(N - 1), dtype=torch.float64)
    return replace(setting.targets, negatives=others, log_q_negatives=log_q)


@pytest.mark.parametrize("config", SCORERS, ids=str)
@pytest.mark.parametrize("correct", ["none", "negatives"])
def test_all_items_as_negatives_once_are_the_full_softmax(correct: str, config: ScorerConfig) -> None:
    setting = Setting(config)
    ours = setting.loss("sampled_softmax", everything_but_the_target(setting), scope="position", correct=correct)
    assert_same(setting, ours, setting.loss("softmax"))


@pytest.mark.parametrize("law", ["uniform", "popularity", "mixed"])
@pytest.mark.parametrize("scope", ["position", "batch"])
def test_many_corrected_draws_come_to_the_full_softmax(scope: Any, law: Any) -> None:
    """Of every law, with the target drawn out or masked; without the correction popularity goes elsewhere."""
    setting = Setting()
    request = Negatives(count=60_000, law=law, scope=scope, mix=0.7)
    made = make_law(request, np.array([0, 1, 30, 2, 9, 4, 16, 3, 3, 8, 1, 50]))
    item = setting.targets.item.numpy()
    key = mix(np.full(P if scope == "position" else 1, 5, np.uint64), np.arange(P if scope == "position" else 1))
    drawn = draw_items(made, key, request.count, item if scope == "position" else None)
    log_q = made.log_p.astype(np.float64)[drawn]
    if scope == "position":
        log_q -= np.log1p(-np.exp(made.log_p.astype(np.float64)[item]))[:, None]
    else:
        drawn, log_q = drawn[0], log_q[0]
    given = replace(setting.targets, negatives=torch.from_numpy(drawn), log_q_negatives=torch.from_numpy(log_q))
    ours, plain = (setting.loss("sampled_softmax", given, scope=scope, correct=c) for c in ("negatives", "none"))
    full = setting.loss("softmax")
    assert ours.item() == pytest.approx(full.item(), rel=0.02)
    assert plain.item() > 2 * full.item()
    for a, b in zip(setting.gradients(ours), setting.gradients(full), strict=True):
        assert float((a - b).norm()) < 0.05 * float(b.norm())


def test_the_mean_of_the_sum_over_draws_is_the_sum_over_all_other_items() -> None:
    """What is in the logarithm is unbiased at any k: over all pairs of draws, by their probability."""
    scores = torch.randn(4, dtype=torch.float64)
    q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    embedding = ItemEmbedding(4, 1, hidden=False).double()
    embedding.table.data = scores[:, None]
    output: Any = SimpleNamespace(states=torch.ones(1, 1, dtype=torch.float64),
                                  scorer=BoundScorer(Scorer(ScorerConfig(), embedding), torch.zeros(1).long()))
    given = Targets("next_item", torch.zeros(1).long(), torch.zeros(1).long(), torch.tensor([2]), torch.zeros(1, 0),
                    torch.ones(1, dtype=torch.float64), log_q=q[1:2].log())
    mean = torch.zeros((), dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            drawn = torch.tensor([i, j])
            loss = objective("sampled_softmax", negatives=2).losses(
                output, replace(given, negatives=drawn + 1, log_q_negatives=q[drawn].log()), None)["nll"]
            mean = mean + q[i] * q[j] * (loss.exp() - 1) * scores[1].exp()  # the sum over negatives
    torch.testing.assert_close(mean, scores.exp().sum() - scores[1].exp())


def test_the_whole_step_in_batch_is_the_textbook_loss() -> None:
    """Targets that all differ: the square of scores, corrected, with the diagonal as labels."""
    setting = Setting()
    item = torch.tensor([3, 1, 7, 9, 11, 4])
    law = torch.log_softmax(torch.randn(N, dtype=torch.float64), 0)
    given = replace(setting.targets, item=item, negatives=item, log_q=law[item - 1], log_q_negatives=law[item - 1])
    square = setting.output.scorer.scores(setting.states)[:, item - 1]
    for correct, scores in (("both", square - law[item - 1]), ("none", square)):
        each = F.cross_entropy(scores, torch.arange(P), reduction="none")
        assert_same(setting, setting.loss("in_batch_softmax", given, correct=correct), given.mean(each))


@pytest.mark.parametrize(("scope", "mode"), [("batch", "unpaired"), ("position", "paired")])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_infonce_under_cosine_equals_another_library(scope: str, mode: str, temperature: float) -> None:
    setting = Setting(ScorerConfig(score="cosine"))
    table, item = setting.leaves[1], setting.targets.item
    negatives = torch.tensor([5, 8, 8, 9]) if scope == "batch" else DRAWN["position"]
    given = replace(setting.targets, negatives=negatives)
    each = info_nce(setting.states, table[item - 1], table[negatives - 1], temperature=temperature, reduction="none",
                    negative_mode=mode)
    assert_same(setting, setting.loss("infonce", given, scope=scope, temperature=temperature), given.mean(each))


def test_a_temperature_of_the_loss_is_one_of_the_scorer() -> None:
    setting = Setting(ScorerConfig(score="cosine"))
    torch.manual_seed(0)
    other = Setting(ScorerConfig(score="cosine", temperature=0.05))
    ours, theirs = setting.loss("infonce", scope="batch", temperature=0.05), other.loss("infonce", scope="batch")
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(setting.gradients(ours), other.gradients(theirs), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(setting.loss("infonce", scope="batch"),
                               setting.loss("sampled_softmax", scope="batch", correct="none"))


def test_bpr_at_equal_scores_is_the_logarithm_of_two_and_its_two_sides_are_mirrored() -> None:
    setting = Setting(scope="position")
    with torch.no_grad():
        setting.leaves[1].copy_(setting.leaves[1][:1].expand(N, D))
    loss = setting.loss("bpr")
    assert loss.item() == pytest.approx(math.log(2))
    by_item = setting.gradients(loss)[1]
    torch.testing.assert_close(by_item.sum(0), torch.zeros(D, dtype=torch.float64))


def test_never_a_positive_among_negatives_unless_asked_for() -> None:
    """As a run draws them; where a draw is shared, the slow reference has left the target out."""
    for law in ("uniform", "popularity", "mixed"):
        for keep in (False, True):
            part = (SPECS["infonce"], {"negatives": 9, "law": law, "keep_positive": keep})
            feed = make_experiment(tiny_causal, objectives=[part]).feed
            assert feed is not None
            given = [group.targets_for("infonce") for groups in feed.train_batches(1, 8, 2) for group in groups]
            hits = sum(int((each.negatives == each.item[:, None]).sum()) for each in given)
            assert (hits > 0) == keep


BACKBONES = {"causal": tiny_causal, "masked": tiny_bidirectional, "pointwise": tiny_pointwise}


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("name", NEXT_ITEM)
def test_every_loss_trains_every_kind_of_backbone(name: str, backbone: str) -> None:
    """On what a run gives it: a batch read again and again is learned."""
    parameters = {} if name == "softmax" else {"negatives": 7}
    made = make_experiment(BACKBONES[backbone], objectives=[(SPECS[name], parameters)])
    assert made.feed is not None and made.model is not None
    (group,) = next(iter(made.feed.train_batches(1, 8, 1)))
    optimizer, losses = torch.optim.Adam(made.model.parameters(), lr=0.02), []
    for _ in range(25):
        step = train_step(made.model, group.batch, group.targets_for(name))
        losses.append(step.losses[f"{name}.nll"].item())
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


class TestSpecs:
    @pytest.mark.parametrize("name", SAMPLED)
    def test_negatives_are_asked_for_as_the_parameters_say(self, name: str) -> None:
        spec = SPECS[name]
        default = spec.resolve("needs", spec.config(negatives=7)).negatives
        assert default.count == 7 and not default.keep_positive
        if name == "in_batch_softmax":
            assert (default.law, default.scope) == ("in_batch", "batch")
            return
        chosen = spec.config(negatives=7, law="mixed", mix=0.25, scope="sequence", keep_positive=True)
        assert spec.resolve("needs", chosen).negatives == Negatives(
            count=7, law="mixed", mix=0.25, scope="sequence", keep_positive=True)

    @pytest.mark.parametrize(("name", "wrong"), [
        ("gbce", {"t": 1.1}), ("gbce", {"negatives": 0}), ("bpr", {"mix": -0.1}), ("infonce", {"temperature": 0.0}),
        ("sampled_softmax", {"correct": "all"}), ("in_batch_softmax", {"scope": "position"}),
    ])
    def test_parameters_out_of_bounds_are_refused(self, name: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPECS[name].config(**wrong)

    @pytest.mark.parametrize("law", ["uniform", "popularity", "in_batch"])
    def test_a_mixture_is_of_the_law_mixed(self, law: str) -> None:
        message = rf"mix means nothing for law {law}\. Expected it with law mixed alone\. Add law: mixed, or remove mix"
        with pytest.raises(ValidationError, match=message):
            SPECS["infonce"].config(law=law, scope="batch", mix=0.3)

    @pytest.mark.parametrize("scope", ["position", "sequence"])
    def test_targets_of_the_step_are_shared_by_all(self, scope: str) -> None:
        with pytest.raises(ValidationError, match=rf"law in_batch with scope {scope}\. Expected scope batch: all share "
                                                  r"the step's targets\. Add scope: batch\."):
            SPECS["infonce"].config(law="in_batch", scope=scope)
