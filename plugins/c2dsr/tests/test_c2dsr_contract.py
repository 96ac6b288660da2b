"""The core's contracts of backbones and objectives.

The graph stays out of them: it knows items by their ids, and joins vectors of items that come later.
"""

from dataclasses import replace
from typing import ClassVar

from benchbase_c2dsr import benchbase_backbones, benchbase_objectives

from benchbase.testing.checking import rewound
from benchbase.testing.contracts import BackboneContract, ObjectiveContract

(SPEC,) = benchbase_backbones()
SOFTMAX, INFOMAX = benchbase_objectives()
SMALL = SPEC.config(width=4, dropout=0.0, graph_layers=0)
TINY = replace(SPEC, build=lambda config, context: SPEC.build(SMALL, context))


class TestBackbone(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=4, graph_layers=0)


class TestHeads(BackboneContract):
    spec = SPEC
    config = SPEC.config(width=4, heads=2, layers=1, graph_layers=0)


class OnItsBackbone(ObjectiveContract):
    """An objective that reads the traces of this backbone alone."""

    names_matter = True  # it knows items' domains

    def backbones(self):
        return [TINY]

    def run(self, model, batch, targets):
        return super().run(rewound(model), batch, targets)  # the backbone draws


class TestSoftmax(OnItsBackbone):
    spec: ClassVar = SOFTMAX


class TestInfomax(OnItsBackbone):
    spec: ClassVar = INFOMAX
