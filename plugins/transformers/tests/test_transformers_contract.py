"""The core's contract of backbones, for both and for each order of norms and residuals."""

from benchbase_transformers import benchbase_backbones

from benchbase.testing.contracts import BackboneContract

SPECS = {spec.name: spec for spec in benchbase_backbones()}


class TestSASRecContract(BackboneContract):
    spec = SPECS["sasrec"]
    config = spec.config(width=8)


class TestSASRecPostNormContract(BackboneContract):
    spec = SPECS["sasrec"]
    config = spec.config(width=8, order="post_norm", ffn_dropout=0.2, head_map=False)


class TestSASRecOriginalContract(BackboneContract):
    spec = SPECS["sasrec"]
    config = spec.config(width=8, heads=1, order="original", attention_dropout=0.2, ffn_dropout=0.2, head_map=False,
                         init="glorot")


class TestBERT4RecContract(BackboneContract):
    spec = SPECS["bert4rec"]
    config = spec.config(width=8)


class TestBERT4RecPostNormContract(BackboneContract):
    spec = SPECS["bert4rec"]
    config = spec.config(width=8, order="post_norm", attention_dropout=0.2)
class TestTransformerContract(BackboneContract):
    spec = SPECS["transformer"]
    config = spec.config(width=8)


class TestTransformerLearnedPositionsContract(BackboneContract):
    spec = SPECS["transformer"]
    config = spec.config(width=8, layers=2, position="learned", skip_scale=0.1, attention_scale=0.025)


class TestTransformerWithoutPositionsContract(BackboneContract):
    spec = SPECS["transformer"]
    config = spec.config(width=8, layers=2, position="none", attention_dropout=0.2)
