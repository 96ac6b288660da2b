"""Items attend, actions are pooled: AttnLFA, AttnMVP and AttnDHN, instead of item and action tokens in turn."""

from typing import TYPE_CHECKING

from benchbase import BuildContext, ModifierSpec, Needs, Source, hookimpl

from .config import DualStreamConfig, LateFusionConfig, MixedValueConfig

if TYPE_CHECKING:
    from benchbase.nn import Modifier

SOURCE = Source(
    paper="Cheng, Beyond Interleaving: Causal Attention Reformulations for Generative Recommender Systems, KDD 2026",
    url="https://arxiv.org/abs/2603.10369",
)
NEEDS = Needs(layouts=frozenset({"items"}), training=frozenset({"next"}), causal=True, actions=True)


def build_lfa(config: LateFusionConfig, context: BuildContext) -> "Modifier":
    from .late_fusion import AttnLFA  # torch arrives only when a run needs it

    return AttnLFA(config, context)


def build_mvp(config: MixedValueConfig, context: BuildContext) -> "Modifier":
    from .mixed_values import AttnMVP

    return AttnMVP(config, context)


def build_dhn(config: DualStreamConfig, context: BuildContext) -> "Modifier":
    from .dual_stream import AttnDHN

    return AttnDHN(config, context)


def lfa_sites(config: LateFusionConfig) -> frozenset[str]:
    return frozenset({"mask", "readout"} if config.strict else {"readout"})


def mixed_sites(config: MixedValueConfig | DualStreamConfig) -> frozenset[str]:
    return frozenset({"mask", "value", "readout"} if config.late_fusion else {"mask", "value"})


@hookimpl
def benchbase_modifiers() -> list[ModifierSpec]:
    return [
        ModifierSpec(name="attn_lfa", config=LateFusionConfig, build=build_lfa, source=SOURCE, sites=lfa_sites,
                     needs=NEEDS),
        ModifierSpec(name="attn_mvp", config=MixedValueConfig, build=build_mvp, source=SOURCE, sites=mixed_sites,
                     needs=NEEDS),
        ModifierSpec(name="attn_dhn", config=DualStreamConfig, build=build_dhn, source=SOURCE, sites=mixed_sites,
                     needs=NEEDS),
    ]
