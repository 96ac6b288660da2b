"""What every part must obey, as classes to inherit in a plugin's tests.

    class TestMine(BackboneContract):
        spec = MINE                # the spec
        config = {"width": 8}      # parameters that keep the tests quick

Each `test_` method is one rule. A rule that does not apply is skipped; `violations(TestMine)` runs a contract
without a test runner. All comparisons are in double precision, all changes random.
"""

from .checking import violations
from .contract_backbone import BackboneContract
from .contract_compressor import CompressorContract
from .contract_data import DatasetContract, RecommenderContract
from .contract_encoder import EncoderContract
from .contract_explainer import ExplainerContract
from .contract_modifier import ModifierContract
from .contract_objective import ObjectiveContract

__all__ = [
    "BackboneContract",
    "CompressorContract",
    "DatasetContract",
    "EncoderContract",
    "ExplainerContract",
    "ModifierContract",
    "ObjectiveContract",
    "RecommenderContract",
    "violations",
]
