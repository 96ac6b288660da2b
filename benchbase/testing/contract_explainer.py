"""The contract of explainers: recommendations of the tiny world's items, with attention and without."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from ..data import Explainer, Explanation, Names, Recommendation
from ..errors import PluginError
from ..evaluate.explain import checked, strangers
from ..specs import BuildContext, Config, ExplainerSpec
from .build import not_refused, part_config, same_written_down
from .checking import check, keeps_global_state
from .world import tiny_context


class ExplainerContract:
    """Inherit it with `spec`, and `config` where a parameter has no default or the default is costly.

    Evidence is some of the events read, each once and never all; features are categories of the item; a sentence is one
    line, and names the item, the evidence and the features alone; the same recommendation has the same explanation,
    whatever was asked before and whoever built the explainer; nothing of a recommendation is changed.
    """

    spec: ClassVar[ExplainerSpec]
    config: ClassVar[Config | Mapping[str, Any] | None] = None

    def context(self) -> BuildContext:
        """Facts to build with; override to add what the part needs."""
        return tiny_context()

    def explainer(self) -> Explainer:
        with torch.random.fork_rng(devices=[]):  # as the core builds it
            torch.manual_seed(0)
            made = self.spec.build(part_config(self.spec, self.config), self.context())
        check(isinstance(made, Explainer), f"build returned a {type(made).__name__}. Expected a "
              "benchbase.data.Explainer. Derive its class from it.")
        return made  # type: ignore[no-any-return]

    def recommendations(self) -> Iterator[Recommendation]:
        """Long and short pasts, one item throughout, level facts, no times; without attention where that fits."""
        draw, n = np.random.default_rng(0), self.context().n_items
        attention = self.spec.resolve("needs", part_config(self.spec, self.config)).attention
        for length in (2, 3, 7, 40):
            past = draw.integers(1, n + 1, length, dtype=np.int32)
            times = np.sort(draw.integers(1_600_000_000, 1_700_000_000, length))
            similarity = draw.uniform(-1, 1, length).astype(np.float32)
            shares = draw.dirichlet(np.ones(length)).astype(np.float32)
            given = Recommendation(int(draw.integers(1, n + 1)), past, times, similarity, shares)
            yield given
            yield replace(given, times=np.zeros(length, np.int64), similarity=np.zeros(length, np.float32),
                          attention=np.full(length, 1 / length, np.float32), past=np.full(length, past[0], np.int32))
            if attention is None or "pointwise" in attention:
                yield replace(given, attention=None)

    def frozen(self) -> list[Recommendation]:
        """The recommendations as the core gives them: nothing in them can be written to."""
        found = list(self.recommendations())
        for given in found:
            for array in (given.past, given.times, given.similarity, given.attention):
                if array is not None:
                    array.flags.writeable = False
        return found

    def explain(self, explainer: Explainer, given: Recommendation) -> Explanation:
        """What it says; an error names the rule that it breaks."""
        try:
            return checked(self.spec.name, explainer.explain(given), given, Names(self.context().catalogue))
        except PluginError as error:
            raise AssertionError(str(error)) from error

    def test_parameters_written_down_are_the_same_parameters(self) -> None:
        same_written_down(self.spec, self.config)

    def test_it_does_not_refuse_what_it_is_built_with(self) -> None:
        not_refused(self.spec, self.config, self.context())

    def test_evidence_is_some_of_the_events_and_features_are_those_of_the_item(self) -> None:
        explainer = self.explainer()
        for given in self.frozen():
            self.explain(explainer, given)

    def test_a_sentence_names_the_item_the_evidence_and_the_features_alone(self) -> None:
        explainer, names = self.explainer(), Names(self.context().catalogue)
        for given in self.frozen():
            said = self.explain(explainer, given)
            other = strangers(said, given, names)
            check(not other, f"{said.text!r:.100} names {other[:1]}. Expected the item, events of the evidence and "
                  "features, and nothing else.")

    def test_the_same_recommendation_has_the_same_explanation(self) -> None:
        with keeps_global_state(self.spec.name):
            first, second = self.explainer(), self.explainer()
            once = [self.explain(first, given) for given in self.frozen()]
            again = [self.explain(first, given) for given in reversed(self.frozen())][::-1]
        check(once == again, "it says something else when asked again, in another order. Expected the same.")
        other = [self.explain(second, given) for given in self.frozen()]
        check(once == other, "two explainers built alike say different things. Expected the same.")
