"""Both losses against the library's own in float64, gradients included, and the laws they obey."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from benchbase_losses import benchbase_objectives
from pydantic import ValidationError

from benchbase import BuildContext, Needs
from benchbase.data.batches import Targets
from benchbase.nn import BoundScorer, ItemBias, ItemEmbedding, Scorer, losses, softmax_loss
from benchbase.specs import ScorerConfig

torch.set_num_threads(1)
SPECS = {spec.name: spec for spec in benchbase_objectives()}
CONTEXT = BuildContext(n_items=11, n_users=3, window=8, max_tokens=8)
SCORERS = [
    ScorerConfig(),
    ScorerConfig(score="cosine", temperature=0.05),
    ScorerConfig(temperature=3.0, bias=True),
    ScorerConfig(output="separate", bias=True),
]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def objective(name: str, **parameters: Any) -> Any:
    spec = SPECS[name]
    return spec.build(spec.config(**parameters), CONTEXT)


def targets(items: torch.Tensor, weights: torch.Tensor | None = None, **more: Any) -> Targets:
    """Targets of rows with two positions each."""
    row = torch.arange(len(items)) // 2
    weights = torch.ones(len(items), dtype=torch.float64) if weights is None else weights
    return Targets("next_item", row, torch.arange(len(items)) % 2, items, torch.zeros(len(items), 0), weights, **more)


class Setting:
    """States, a scorer and what they are differentiated with respect to, in float64."""

    def __init__(self, config: ScorerConfig | None = None, n_positions: int = 6, n_items: int = 11, terms: Any = ()):
        config = config or ScorerConfig()
        embedding = ItemEmbedding(n_items, 5, hidden=False).double()
        self.scorer = Scorer(config, embedding).double()
        if self.scorer.item_bias is not None:
            torch.nn.init.normal_(self.scorer.item_bias)
        self.states = torch.randn(n_positions, 5, dtype=torch.float64, requires_grad=True)
        self.leaves = [self.states, *embedding.parameters(), *self.scorer.parameters()]
        self.terms, self.n_items = terms, n_items

    def output(self, row: torch.Tensor) -> Any:
        return SimpleNamespace(states=self.states, scorer=BoundScorer(self.scorer, row, self.terms))

    def gradients(self, loss: torch.Tensor) -> list[torch.Tensor]:
        found = torch.autograd.grad(loss, self.leaves, allow_unused=True, retain_graph=True)
        return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(self.leaves, found, strict=True)]


def assert_same(setting: Setting, ours: torch.Tensor, reference: torch.Tensor) -> None:
    torch.testing.assert_close(ours, reference)
    for a, b in zip(setting.gradients(ours), setting.gradients(reference), strict=True):
        torch.testing.assert_close(a, b)


class TestSoftmaxEqualsCrossEntropy:
    @pytest.mark.parametrize("config", SCORERS, ids=str)
    @pytest.mark.parametrize("n_positions", [1, 6, 300])
    def test_loss_and_gradients(self, config: ScorerConfig, n_positions: int) -> None:
        assert n_positions < 300 or n_positions > losses.CPU_ROWS
        setting = Setting(config, n_positions)
        given = targets(torch.randint(1, 12, (n_positions,)), torch.rand(n_positions, dtype=torch.float64))
        output = setting.output(given.row)
        each = F.cross_entropy(output.scorer.scores(setting.states), given.item - 1, reduction="none")
        reference = (each * given.weights).sum() / given.weights.sum()
        assert_same(setting, objective("softmax").losses(output, given, None)["nll"], reference)

    def test_a_matrix_of_score_terms_takes_the_route_of_full_scores(self) -> None:
        matrix = torch.randn(3, 11, dtype=torch.float64, requires_grad=True)
        vector = torch.randn(11, dtype=torch.float64, requires_grad=True)
        setting = Setting(terms=[lambda items: matrix, lambda items: ItemBias(vector)])
        setting.leaves += [matrix, vector]
        given = targets(torch.tensor([1, 4, 11, 2, 2, 7]))
        output = setting.output(given.row)
        reference = F.cross_entropy(output.scorer.scores(setting.states), given.item - 1)
        assert_same(setting, objective("softmax").losses(output, given, None)["nll"], reference)

    def test_an_item_bias_keeps_the_chunked_route(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("benchbase_losses.softmax.softmax_loss_from_scores", None)
        vector = torch.randn(11, dtype=torch.float64, requires_grad=True)
        setting = Setting(terms=[lambda items: ItemBias(vector)])
        setting.leaves.append(vector)
        given = targets(torch.tensor([1, 4, 11, 2, 2, 7]))
        output = setting.output(given.row)
        reference = F.cross_entropy(output.scorer.scores(setting.states), given.item - 1)
        assert_same(setting, objective("softmax").losses(output, given, None)["nll"], reference)

    def test_one_item_costs_nothing(self) -> None:
        setting = Setting(n_items=1)
        given = targets(torch.ones(6, dtype=torch.int64))
        loss = objective("softmax").losses(setting.output(given.row), given, None)["nll"]
        assert loss.item() == 0
        assert all((g == 0).all() for g in setting.gradients(loss))

    def test_no_position_costs_nothing(self) -> None:
        setting = Setting(n_positions=0)
        given = targets(torch.zeros(0, dtype=torch.int64))
        loss = objective("softmax").losses(setting.output(given.row), given, None)["nll"]
        assert loss.item() == 0
        assert all((g == 0).all() for g in setting.gradients(loss))


class TestChunkedSoftmax:
    """`benchbase.nn.softmax_loss`, which `softmax` stands on."""

    def inputs(self, n: int = 6, n_items: int = 11, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
        query = torch.randn(n, 5, dtype=dtype, requires_grad=True)
        vectors = torch.randn(n_items, 5, dtype=dtype, requires_grad=True)
        return [query, vectors, torch.randint(n_items, (n,)), torch.rand(n, dtype=dtype)]

    @pytest.mark.parametrize("with_bias", [False, True])
    def test_numerical_gradients(self, with_bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(losses, "CPU_ROWS", 4)
        query, vectors, target, weights = self.inputs()
        bias = torch.randn(11, dtype=torch.float64, requires_grad=True) if with_bias else None
        inputs = [x for x in (query, vectors, bias) if x is not None]
        assert torch.autograd.gradcheck(lambda q, v, b=None: softmax_loss(q, v, target, weights, b), inputs)

    @pytest.mark.parametrize("rows", [1, 5, 6, 100])
    def test_the_size_of_chunks_changes_nothing(self, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
        query, vectors, target, weights = self.inputs()
        whole = softmax_loss(query, vectors, target, weights)
        monkeypatch.setattr(losses, "CPU_ROWS", rows)
        chunked = softmax_loss(query, vectors, target, weights)
        torch.testing.assert_close(chunked, whole)
        for a, b in zip(*(torch.autograd.grad(x, [query, vectors]) for x in (chunked, whole)), strict=True):
            torch.testing.assert_close(a, b)

    def test_chunks_shrink_where_items_are_many(self) -> None:
        cpu, other = torch.device("cpu"), torch.device("meta")
        assert losses.chunk_rows(10_000, 1_000, cpu) == losses.CPU_ROWS * torch.get_num_threads()
        assert losses.chunk_rows(10_000, losses.ELEMENTS // 2, cpu) == 2
        assert losses.chunk_rows(10_000, 10 * losses.ELEMENTS, cpu) == 1
        assert losses.chunk_rows(0, 0, cpu) == 1
        assert losses.chunk_rows(10_000, 1_000, other) == 10_000
        assert losses.chunk_rows(10**6, 2**15, other) == losses.ELEMENTS // 2**15

    def test_weights_count_by_their_ratios(self) -> None:
        query, vectors, target, weights = self.inputs()
        once, twice = (softmax_loss(query, vectors, target, w) for w in (weights, 2 * weights))
        torch.testing.assert_close(once, twice)

    def test_a_weight_of_two_is_a_position_twice(self) -> None:
        query, vectors, target, _ = self.inputs(3)
        weighted = softmax_loss(query, vectors, target, torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64))
        again = torch.tensor([0, 0, 1, 2])
        repeated = softmax_loss(query[again], vectors, target[again], torch.ones(4, dtype=torch.float64))
        torch.testing.assert_close(weighted, repeated)
        torch.testing.assert_close(*(torch.autograd.grad(x, [query, vectors]) for x in (weighted, repeated)))

    def test_weights_of_zero_give_zero(self) -> None:
        query, vectors, target, weights = self.inputs()
        loss = softmax_loss(query, vectors, target, 0 * weights)
        assert loss.item() == 0
        assert all((g == 0).all() for g in torch.autograd.grad(loss, [query, vectors]))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
    def test_scores_as_large_as_you_like(self, size: float, dtype: torch.dtype) -> None:
        query = torch.tensor([[size], [size], [-size]], dtype=dtype, requires_grad=True)
        vectors = torch.tensor([[1.0], [0.5], [-1.0]], dtype=dtype, requires_grad=True)
        target, weights = torch.tensor([0, 2, 1]), torch.ones(3, dtype=dtype)
        loss = softmax_loss(query, vectors, target, weights)
        reference = F.cross_entropy(query @ vectors.T, target)
        torch.testing.assert_close(loss, reference)
        torch.testing.assert_close(*(torch.autograd.grad(x, [query, vectors]) for x in (loss, reference)))

    def test_weights_of_another_type_are_taken(self) -> None:
        query, vectors, target, weights = self.inputs()
        torch.testing.assert_close(softmax_loss(query, vectors, target, weights.float().double()),
                                   softmax_loss(query, vectors, target, weights.float()))

    def test_states_of_mixed_precision_are_taken(self) -> None:
        query, vectors, target, weights = self.inputs(dtype=torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            loss = softmax_loss(query.bfloat16(), vectors, target, weights)
        rounded = query.bfloat16().float()
        torch.testing.assert_close(loss, softmax_loss(rounded, vectors, target, weights))
        assert all(g.dtype == torch.float32 for g in torch.autograd.grad(loss, [query, vectors]))

    def test_no_gradient_is_made_unless_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(losses, "_Gradients", None)
        query, vectors, target, weights = (x.detach() for x in self.inputs())
        torch.testing.assert_close(softmax_loss(query, vectors, target, weights),
                                   (F.cross_entropy(query @ vectors.T, target, reduction="none") * weights).sum()
                                   / weights.sum())

    def test_backward_twice(self) -> None:
        query, vectors, target, weights = self.inputs()
        loss = softmax_loss(query, vectors, target, weights)
        first = torch.autograd.grad(loss, query, retain_graph=True)
        torch.testing.assert_close(first, torch.autograd.grad(2 * loss, query, torch.tensor(0.5).double()))

    @pytest.mark.parametrize("size", [0.1, 1.0, 5.0])
    def test_bfloat16_gradients_are_near_and_the_loss_is_exact(self, size: float) -> None:
        query, vectors, target, weights = self.inputs(300, 64, torch.float32)
        exact = softmax_loss(query * size, vectors, target, weights)
        near = softmax_loss(query * size, vectors, target, weights, products=torch.bfloat16)
        assert near.item() == exact.item()
        grads = [torch.autograd.grad(x, [query, vectors]) for x in (exact, near)]
        for a, b in zip(*grads, strict=True):
            assert 0 < (a - b).norm() < 0.01 * a.norm()

    def test_the_objective_passes_its_choice_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        monkeypatch.setattr("benchbase_losses.softmax.softmax_loss", lambda *args: seen.append(args[-1]))
        setting, given = Setting(), targets(torch.ones(6, dtype=torch.int64))
        for gradients in ("exact", "bfloat16"):
            objective("softmax", gradients=gradients).losses(setting.output(given.row), given, None)
        assert seen == [None, torch.bfloat16]


SCOPES = {"position": torch.tensor([[5, 6], [7, 8], [9, 10], [1, 1], [2, 3], [4, 5]]),
          "sequence": torch.tensor([[5, 6], [7, 8], [9, 10]]),
          "batch": torch.tensor([5, 8, 9])}


def per_position(drawn: torch.Tensor, scope: str) -> torch.Tensor:
    """The negatives (6, k) of each of six positions, two to a row."""
    return drawn.repeat_interleave(2, 0) if scope == "sequence" else drawn.expand(6, -1)


class TestBinaryCrossEntropy:
    @pytest.mark.parametrize("config", SCORERS, ids=str)
    @pytest.mark.parametrize("scope", list(SCOPES))
    def test_equals_the_library_over_positives_and_negatives(self, config: ScorerConfig, scope: str) -> None:
        setting = Setting(config)
        given = targets(torch.tensor([1, 2, 3, 4, 1, 2]), torch.rand(6, dtype=torch.float64), negatives=SCOPES[scope])
        output = setting.output(given.row)
        items = torch.cat([given.item[:, None], per_position(SCOPES[scope], scope)], dim=1)
        scores = output.scorer.scores(setting.states).gather(1, items - 1)
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1
        each = F.binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(dim=1)
        reference = (each * given.weights).sum() / given.weights.sum()
        assert_same(setting, objective("bce", scope=scope).losses(output, given, None)["nll"], reference)

    def test_a_batch_of_as_many_rows_as_positions_is_told_apart(self) -> None:
        setting = Setting(n_positions=3)
        given = replace(targets(torch.tensor([1, 2, 3]), negatives=SCOPES["sequence"]), row=torch.tensor([0, 0, 2]))
        scores = setting.output(given.row).scorer.scores(setting.states)
        drawn = SCOPES["sequence"][given.row]
        reference = (F.softplus(-scores.gather(1, given.item[:, None] - 1)).sum()
                     + F.softplus(scores.gather(1, drawn - 1)).sum()) / 3
        ours = objective("bce", scope="sequence").losses(setting.output(given.row), given, None)["nll"]
        torch.testing.assert_close(ours, reference)

    @pytest.mark.parametrize("scope", ["sequence", "batch"])
    def test_a_shared_negative_that_is_the_target_counts_nothing(self, scope: str) -> None:
        setting = Setting()
        items = torch.tensor([5, 7, 1, 1, 1, 1])
        collide = {"sequence": torch.tensor([[5, 7], [2, 3], [2, 3]]), "batch": torch.tensor([5, 7])}[scope]
        given = targets(items, negatives=collide)
        scores = setting.output(given.row).scorer.scores(setting.states)
        drawn = per_position(collide, scope)
        each = F.softplus(scores.gather(1, drawn - 1)) * (drawn != items[:, None])
        reference = (F.softplus(-scores.gather(1, items[:, None] - 1)).sum() + each.sum()) / 6
        assert_same(setting, objective("bce", scope=scope).losses(setting.output(given.row), given, None)["nll"],
                    reference)

    def test_scores_as_large_as_you_like(self) -> None:
        setting = Setting()
        with torch.no_grad():
            setting.states *= 1e6
        given = targets(torch.tensor([1, 2, 3, 4, 1, 2]), negatives=SCOPES["batch"])
        loss = objective("bce", scope="batch").losses(setting.output(given.row), given, None)["nll"]
        assert loss.isfinite()
        assert all(g.isfinite().all() for g in setting.gradients(loss))

    def test_no_position_costs_nothing(self) -> None:
        setting = Setting(n_positions=0)
        given = targets(torch.zeros(0, dtype=torch.int64), negatives=SCOPES["batch"])
        loss = objective("bce", scope="batch").losses(setting.output(given.row), given, None)["nll"]
        assert loss.item() == 0
        assert all((g == 0).all() for g in setting.gradients(loss))


class TestSpecs:
    def test_bce_asks_for_the_negatives_of_its_parameters(self) -> None:
        spec = SPECS["bce"]
        needs = spec.resolve("needs", spec.config(negatives=7, law="popularity", scope="sequence"))
        drawn = needs.negatives
        assert (drawn.count, drawn.law, drawn.scope, drawn.keep_positive) == (7, "popularity", "sequence", False)

    def test_softmax_asks_for_none(self) -> None:
        assert SPECS["softmax"].resolve("needs", SPECS["softmax"].config()) == Needs(tasks=frozenset({"next_item"}))

    @pytest.mark.parametrize(("name", "wrong"), [("bce", {"negatives": 0}), ("bce", {"law": "zipf"}),
                                                 ("softmax", {"gradients": "int8"}), ("softmax", {"k": 1})])
    def test_parameters_out_of_bounds_are_refused(self, name: str, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            SPECS[name].config(**wrong)
