"""The core's contract of recommenders, for all three."""

from benchbase_baselines import benchbase_recommenders

from benchbase.testing.contracts import RecommenderContract

SPECS = {spec.name: spec for spec in benchbase_recommenders()}


class TestPopularityContract(RecommenderContract):
    spec = SPECS["popularity"]


class TestUserCountContract(RecommenderContract):
    spec = SPECS["popularity"]
    config = spec.config(count="users")


class TestItemKNNContract(RecommenderContract):
    spec = SPECS["itemknn"]
    config = spec.config(neighbours=5)


class TestEASEContract(RecommenderContract):
    spec = SPECS["ease"]
