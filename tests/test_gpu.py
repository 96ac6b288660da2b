"""What a CUDA device must give: the numbers of the CPU, whatever the part. Skipped where there is none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import benchbase
from benchbase.assemble import Experiment
from benchbase.data.batches import TrainBatch
from benchbase.evaluate import predict, rank
from benchbase.nn import Boost, attend, attend_earlier
from benchbase.registry import Registry
from benchbase.runner import read_all
from benchbase.testing.build import make_experiment
from benchbase.testing.checking import cotangent, no_dropout
from benchbase.testing.tiny import tiny_causal, tiny_softmax
from benchbase.testing.world import World, tiny_world
from benchbase.train import fit
from benchbase.train.losses import LossMaker

GPU = "cuda"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is at hand")
REGISTRY = Registry.load()
B, H, S, D = 3, 2, 70, 8  # more tokens than one tile of the blockwise routes holds


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mask() -> torch.Tensor:
    """Ragged keys under the triangle; the second row's first 20 queries may attend to nothing."""
    allowed = torch.ones(B, 1, S, S, dtype=torch.bool).tril()
    allowed[0, :, :, 50:] = False
    allowed[1, :, :20] = False
    return allowed


WAYS: dict[str, Any] = {
    "plain": lambda bias, factor: {"causal": True},
    "full": lambda bias, factor: {},
    "mask": lambda bias, factor: {"mask": mask()},
    "bias": lambda bias, factor: {"mask": mask(), "bias": bias},
    "constant bias": lambda bias, factor: {"causal": True, "bias": bias.detach()},
    "boost": lambda bias, factor: {"mask": mask(), "boosts": [Boost(factor)]},
    "loose boost": lambda bias, factor: {"causal": True, "boosts": [Boost(factor, renormalise=False)]},
    "both": lambda bias, factor: {"mask": mask(), "bias": bias, "boosts": [Boost(factor, renormalise=False)]},
    "explicit": lambda bias, factor: {"mask": mask(), "bias": bias, "weights": [lambda w: w * w]},
    "pointwise": lambda bias, factor: {"mask": mask(), "bias": bias, "normaliser": 70.0},
    "boosted pointwise": lambda bias, factor: {"causal": True, "normaliser": 70.0, "boosts": [Boost(factor)]},
    "mass": lambda bias, factor: {"mask": mask(), "groups": (drawn(B, S, 2, seed=8) > 0).double()},
}


def moved(value: Any, device: str, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype if value.dtype.is_floating_point else value.dtype)
    if isinstance(value, Boost):
        return Boost(moved(value.factor, device, dtype), value.renormalise)
    return [moved(each, device, dtype) for each in value] if isinstance(value, list) else value


def attended(way: str, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Output, mass and gradients of one way to attend, on the CPU in double precision."""
    leaves = [drawn(B, H, S, D, seed=seed).requires_grad_() for seed in range(3)]
    leaves += [drawn(1, H, S, S, seed=3).requires_grad_(), drawn(B, 1, S, S, seed=4).exp().requires_grad_()]
    q, k, v, bias, factor = leaves
    how = {name: moved(value, device, dtype) for name, value in WAYS[way](bias, factor).items()}
    found = attend(*(moved(each, device, dtype) for each in (q, k, v)), **how)
    outs = [found.out] if found.mass is None else [found.out, found.mass]
    outs = [each.double().cpu() for each in outs]
    loss = torch.stack([(each * cotangent(each)).sum() for each in outs]).sum()
    grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [*outs, *(each for each in grads if each is not None)]


@needs_gpu
@pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS")  # the first product of a process
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_attend_gives_the_numbers_and_gradients_of_the_cpu(way, dtype, atol) -> None:
    slow, fast = attended(way, "cpu", torch.float64), attended(way, GPU, dtype)
    assert len(slow) == len(fast) >= 4
    for one, other in zip(slow, fast, strict=True):
        torch.testing.assert_close(other, one, atol=atol, rtol=1e-4)


@needs_gpu
def test_attention_to_earlier_tokens_gives_the_numbers_of_the_cpu() -> None:
    q, k, v = (drawn(B, H, S, D, seed=seed) for seed in range(3))
    slow, fast = attend_earlier(q, k, v), attend_earlier(q.to(GPU), k.to(GPU), v.to(GPU))
    torch.testing.assert_close(fast.out.cpu(), slow.out, atol=1e-10, rtol=0)


def titled() -> World:
    """The tiny world, its items with titles."""
    world, words = tiny_world(), ("red", "green", "blue", "old", "new", "house", "tree")
    titles = [f"{words[item % 7]} {words[item // 5]}" for item in range(world.catalogue.n_items + 1)]
    columns = {**world.catalogue.columns, "title": np.array(titles, object)}
    return replace(world, catalogue=replace(world.catalogue, columns=columns))


SETTINGS: dict[str, dict[str, Any]] = {
    "sasrec": {"backbone": "sasrec", "objectives": ["softmax", "gbce", "bpr", "bce"]},
    "sampled": {"backbone": "sasrec", "objectives": ["sampled_softmax", "infonce", "in_batch_softmax"]},
    "bert4rec": {"backbone": "bert4rec", "objectives": ["softmax"]},
    "transformer": {"backbone": "transformer", "objectives": ["softmax"], "layout": "stacked"},
    "hstu": {"backbone": "hstu", "objectives": ["softmax"], "layout": "interleaved"},
    "genrank": {"backbone": ("genrank", {"time_bias": 0.5}), "objectives": ["softmax"], "layout": "stacked"},
    "gru4rec": {"backbone": "gru4rec", "objectives": ["softmax"]},
    "causal_boost": {"backbone": "sasrec", "modifiers": ["causal_boost"], "objectives": ["softmax", "causal_dag"]},
    "pointwise boost": {"backbone": "hstu", "modifiers": ["causal_boost"], "objectives": ["softmax", "causal_dag"]},
    "attn_lfa": {"backbone": "sasrec", "modifiers": ["attn_lfa"], "objectives": ["softmax"]},
    "attn_mvp": {"backbone": "sasrec", "modifiers": ["attn_mvp"], "objectives": ["softmax"]},
    "attn_dhn": {"backbone": "sasrec", "modifiers": ["attn_dhn"], "objectives": ["softmax"]},
    "actions": {"backbone": "hstu", "objectives": ["action_bce"], "layout": "interleaved",
                "protocol": {"tasks": ["action"], "metrics": ["auc"]}},
    "candidates": {"backbone": "genrank", "objectives": ["action_bce"], "layout": "stacked",
                   "protocol": {"tasks": ["action"], "metrics": ["auc"], "action_candidates": 2},
                   "train": {"supervise": "candidates"}},
    "ib_tokens": {"backbone": "bert4rec", "modifiers": ["ib_tokens"], "objectives": ["softmax", "ib_attention"]},
    "domain_encoders": {"backbone": "domain_encoders", "objectives": ["softmax", "domain_ib_attention"]},
    "c2dsr": {"backbone": "c2dsr", "objectives": ["domain_softmax"]},
    "infomax": {"backbone": "c2dsr", "objectives": ["domain_softmax", "cross_domain_infomax"]},
    "ips": {"backbone": "sasrec", "objectives": ["softmax", "ips"]},
    "backdoor": {"backbone": "sasrec", "objectives": ["softmax", "popularity_backdoor"]},
    "parity": {"backbone": "sasrec", "objectives": ["softmax", "demographic_parity"]},
    "ewc": {"backbone": "sasrec", "objectives": ["softmax", "ewc"], "protocol": {"split": "prequential"}},
    "retrieval": {"backbone": "sasrec", "objectives": ["softmax"], "modifiers": [("retrieval", {"text": ["title"]})],
                  "world": titled()},
    "causal_lm": {"backbone": ("causal_lm", {"tune": "adapters"}), "objectives": ["softmax"]},
    "multimodal": {"backbone": "sasrec", "objectives": ["softmax", "bce"],
                   "encoders": [("multimodal", {"categories": ["genre"], "times": ["year"]})]},
    **{name: {"backbone": "sasrec", "objectives": ["softmax"], "compressor": name, "protocol": {"window": 4}}
       for name in ("cause", "recent_only", "mean_pool", "pma")},
    **{name: {"backbone": "sasrec", "objectives": ["softmax", "cross_domain_attention"], "combiner": name}
       for name in ("fixed_alpha", "jacobian_descent", "mgda", "pareto")},
    "pareto_literal": {"backbone": "sasrec", "objectives": ["softmax", "cross_domain_attention"],
                       "combiner": ("pareto_literal", {"strict": True})},
}
DRAWS = ("infomax",)
"""Settings whose losses draw numbers of their own, which are others on a GPU."""

LIBRARIES = {"jacobian_descent": "torchjd", "retrieval": "sklearn"}
"""Settings that need a library which plugins do without."""


def experiment(setting: str, device: str, **train: Any) -> Experiment:
    """The tiny world with these parts of installed plugins, on a device."""
    if setting in LIBRARIES:
        pytest.importorskip(LIBRARIES[setting])
    parts = {key: [part(key, each) for each in value] if isinstance(value, list) else part(key, value)
             for key, value in SETTINGS[setting].items() if key != "train"}
    train = {"device": device, "lr": 0.003, **SETTINGS[setting].get("train", {}), **train}
    return make_experiment(**parts, train=train)


def part(key: str, chosen: Any) -> Any:
    """The spec of a name, or of a name and parameters; layout and protocol are what they are."""
    kind = key.removesuffix("s")
    if kind not in ("backbone", "compressor", "encoder", "modifier", "objective", "combiner"):
        return chosen
    return REGISTRY.get(kind, chosen) if isinstance(chosen, str) else (REGISTRY.get(kind, chosen[0]), chosen[1])


@pytest.mark.plugins
def test_every_part_of_a_model_stands_in_a_setting() -> None:
    named = {chosen if isinstance(chosen, str) else chosen[0] for parts in SETTINGS.values()
             for key, value in parts.items() if key not in ("protocol", "train", "world")
             for chosen in (value if isinstance(value, list) else [value])}
    none = ("dataset", "recommender", "explainer")
    offered = {offer.spec.name for offer in REGISTRY.offers() if offer.spec.kind not in none}
    assert offered <= named, f"not tried on a GPU: {sorted(offered - named)}"


def one_batch(setting: str, device: str) -> dict[str, torch.Tensor]:
    """Every loss of the first batch, and the gradient of every parameter."""
    made = experiment(setting, device)
    assert made.feed is not None and made.model is not None
    loss = LossMaker(made, made.model.train())
    group, = next(made.feed.train_batches(1, 16, 1))
    targets = group.targets.to(device)
    negatives = {name: each.to(device) for name, each in group.negatives.items()}
    group = TrainBatch(group.batch.to(device), targets, negatives)
    with no_dropout():
        found = loss(group)
    loss.total(found).backward()
    grads = {f"gradient of {name}": p.grad for name, p in made.model.named_parameters() if p.grad is not None}
    return {name: value.detach().cpu() for name, value in {**found, **grads}.items()}


@pytest.mark.plugins
@needs_gpu
@pytest.mark.parametrize("setting", [name for name, parts in SETTINGS.items()
                                     if "combiner" not in parts and name not in DRAWS])
def test_every_part_has_the_losses_and_gradients_of_the_cpu(setting: str) -> None:
    slow, fast = one_batch(setting, "cpu"), one_batch(setting, GPU)
    assert slow.keys() == fast.keys()
    for name, value in slow.items():
        scale = float(value.abs().max()) + 1e-3
        torch.testing.assert_close(fast[name], value, atol=2e-4 * scale, rtol=1e-3,
                                   msg=lambda text, of=name: f"{of}: {text}")


@pytest.mark.plugins
@needs_gpu
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_part_trains_and_is_scored_as_on_the_cpu(setting: str) -> None:
    """Trained on the GPU, scored there and on the CPU: but for near ties the same ranks, and the same log-odds."""
    made = experiment(setting, GPU, epochs=2)
    fitted = fit(made)
    assert fitted.epochs == 2 and torch.cuda.get_device_name() == fitted.device
    there = experiment(setting, "cpu", epochs=2)
    assert made.model is not None and there.model is not None
    there.model.load_state_dict({name: value.cpu() for name, value in made.model.state_dict().items()})
    if "tasks" in SETTINGS[setting].get("protocol", {}):
        one, other = predict(made, "test"), predict(there, "test")
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        return
    one, other = rank(made, "test"), rank(there, "test")
    assert (one.candidates == other.candidates).all()
    assert (np.abs(one.above - other.above) <= 1).all() and (one.above == other.above).mean() > 0.9


@needs_gpu
def test_a_run_stopped_half_way_goes_on_where_it_was(tmp_path: Path) -> None:
    """Sums of a GPU have no fixed order, so the two agree but for rounding; the CPU test asks for every bit."""
    def made(epochs: int) -> Experiment:
        return make_experiment((tiny_causal, {"dropout": 0.3}), objectives=[tiny_softmax],
                               train={"device": GPU, "epochs": epochs, "lr": 0.01})

    whole, first, second = made(4), made(2), made(4)
    curve = fit(whole).curve
    fit(first, tmp_path)
    again = fit(second, tmp_path).curve
    assert [(epoch, name) for epoch, name, _ in curve] == [(epoch, name) for epoch, name, _ in again]
    np.testing.assert_allclose([value for *_, value in curve], [value for *_, value in again], rtol=1e-3)


@pytest.mark.plugins
@needs_gpu
def test_a_suite_runs_on_the_gpu_unasked_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    suite = {
        "suite": "gpu", "datasets": ["markov[n_users=300,n_items=40,events=12]"], "guards": False, "seeds": [1, 2],
        "protocol": {"split": "leave_one_out", "window": 10, "filter_seen": "none", "metrics": ["recall@1"]},
        "train": {"epochs": 30, "patience": 30, "batch": 64, "lr": 0.003},
        "base": {"backbone": "sasrec[width=32]", "objectives": ["softmax"]},
        "entries": [{"label": "there"}, {"label": "pointwise", "backbone": "hstu[width=32]"}],
    }
    assert benchbase.run(suite, tmp_path / "out").good
    records = [record for _, record in read_all(tmp_path / "out")]
    assert len(records) == 4
    for record in records:
        environment = record.facts["environment"]
        assert environment["device"] == environment["machine"] == torch.cuda.get_device_name()
        assert record.facts["metrics"]["recall@1"] > 0.3
