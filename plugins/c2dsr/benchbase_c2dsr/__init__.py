"""C2DSR: an encoder for all domains, one for each, and what they know of each other as a loss."""

from typing import TYPE_CHECKING

from benchbase import BackboneSpec, BuildContext, Needs, ObjectiveSpec, Source, hookimpl

from .config import C2DSRConfig, DomainSoftmaxConfig, InfomaxConfig

if TYPE_CHECKING:
    from benchbase.nn import Backbone, Objective

SOURCE = Source(
    paper="Cao et al., Contrastive Cross-Domain Sequential Recommendation, CIKM 2022",
    url="https://arxiv.org/abs/2304.03891",
    code="https://github.com/cjx96/C2DSR",
    commit="89d4b92",
)
NEXT_ITEM = frozenset({"next_item"})
SITES = frozenset({"prefix", "mask", "bias", "boost", "weights", "readout"})
MIXED, OWN, CORRUPTED = TRACES = ("mixed_states", "own_states", "corrupted_states")


def build_backbone(config: C2DSRConfig, context: BuildContext) -> "Backbone":
    from .backbone import C2DSR  # torch arrives only when a run needs it

    return C2DSR(config, context)


def build_softmax(config: DomainSoftmaxConfig, context: BuildContext) -> "Objective":
    from .softmax import DomainSoftmax

    return DomainSoftmax(context)


def build_infomax(config: InfomaxConfig, context: BuildContext) -> "Objective":
    from .infomax import Infomax

    return Infomax(context)


def refuse(config: C2DSRConfig, context: BuildContext) -> str | None:
    """Why the backbone cannot run on such data."""
    if context.n_domains < 2:
        return f"c2dsr: domains in the data set: {context.n_domains}. Expected 2 or more. Use sasrec."
    return None


@hookimpl
def benchbase_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="c2dsr", config=C2DSRConfig, build=build_backbone, source=SOURCE, refuse=refuse,
            needs=Needs(domains=True), sites=SITES, publishes=frozenset(TRACES),
        ),
    ]


@hookimpl
def benchbase_objectives() -> list[ObjectiveSpec]:
    return [
        ObjectiveSpec(
            name="domain_softmax", config=DomainSoftmaxConfig, build=build_softmax, source=SOURCE,
            needs=Needs(tasks=NEXT_ITEM, domains=True, traces=frozenset({MIXED}), bare_items=True),
        ),
        ObjectiveSpec(
            name="cross_domain_infomax", config=InfomaxConfig, build=build_infomax, source=SOURCE,
            needs=Needs(domains=True, traces=frozenset(TRACES)),
        ),
    ]
