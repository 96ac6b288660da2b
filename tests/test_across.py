"""Attention across domains, as records hold it: against weights event by event, and where nothing can be said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchbase.assemble.experiment import as_told
from benchbase.evaluate import attention_across, ranked_events
from benchbase.evaluate.attention import attention, each_event
from benchbase.specs import SequenceConfig
from benchbase.testing.build import make_experiment
from benchbase.testing.probes import probe_prefix
from benchbase.testing.tiny import tiny_bidirectional, tiny_causal, tiny_pointwise, tiny_recurrent, tiny_softmax


def experiment_of(backbone: Any, **parts: Any) -> Any:
    sizes = {"n_layers": 2, "n_heads": 2}
    return make_experiment((backbone, sizes), objectives=[tiny_softmax], **parts)


def one_by_one(experiment: Any) -> list[float]:
    """Each event alone, every weight in sight."""
    domain, found = experiment.data.prepared.catalogue.domain, []
    for event in ranked_events(experiment, "test"):
        (chunk,) = experiment.feed.score_batches(np.array([event]), 1)
        with torch.inference_mode():
            weights = attention(experiment.model.encode(chunk.batch, "score", each_event))
        items = chunk.batch.items[0].masked_fill(chunk.batch.hide_item[0], 0).numpy()
        shares = [sum(layer[0, query, key] for layer in weights for key, other in enumerate(items)
                      if other and domain[other] != domain[item]) / len(weights)
                  for query, item in enumerate(items) if item]
        found.append(float(np.mean(shares)))
    return found


@pytest.mark.parametrize("parts", [{}, {"modifiers": [probe_prefix]}, {"layout": "stacked"}],
                         ids=["items", "a token before", "stacked"])
@pytest.mark.parametrize("backbone", [tiny_causal, tiny_bidirectional], ids=lambda spec: spec.name)
def test_shares_equal_those_ofeach_event_alone(backbone: Any, parts: dict[str, Any]) -> None:
    experiment = experiment_of(backbone, **parts)
    found = attention_across(experiment)
    assert found is not None and found.dtype == np.float32 and len(set(found.tolist())) > 9
    np.testing.assert_allclose(found, one_by_one(experiment), atol=1e-5)


def test_the_domains_of_the_data_count_whatever_the_model_was_told() -> None:
    experiment = experiment_of(tiny_causal)
    plain = attention_across(experiment)
    told = as_told(replace_sequence(experiment, mislabelled=1.0), experiment.data, 1)
    experiment.feed.catalogue = told.prepared.catalogue
    (chunk,) = experiment.feed.score_batches(ranked_events(experiment, "test")[:1], 1)
    shown = told.prepared.catalogue.domain[chunk.batch.items.numpy()]
    np.testing.assert_array_equal(chunk.batch.domains.numpy(), shown)
    assert (shown != experiment.data.prepared.catalogue.domain[chunk.batch.items.numpy()]).all()
    np.testing.assert_array_equal(attention_across(experiment), plain)


def replace_sequence(experiment: Any, **choices: Any) -> Any:
    return experiment.configuration.model_copy(update={"sequence": SequenceConfig(**choices)})


@pytest.mark.parametrize("backbone", [tiny_pointwise, tiny_recurrent], ids=lambda spec: spec.name)
def test_of_weights_that_are_no_shares_nothing_is_said(backbone: Any) -> None:
    sizes = {"n_layers": 2, "n_heads": 2} if backbone is tiny_pointwise else {}
    assert attention_across(make_experiment((backbone, sizes), objectives=[tiny_softmax])) is None


def test_of_one_domain_nothing_is_said() -> None:
    experiment = experiment_of(tiny_causal)
    experiment.configuration = replace_sequence(experiment, events="own_domain")
    assert attention_across(experiment) is None
    experiment = experiment_of(tiny_causal)
    prepared = experiment.data.prepared
    for changes in ({"domain": None, "domain_names": ()}, {"domain_names": ("one",)}):
        catalogue = replace(prepared.catalogue, **changes)
        experiment.data = replace(experiment.data, prepared=replace(prepared, catalogue=catalogue))
        assert attention_across(experiment) is None
