"""Values against models: what is refused, where, and in which words."""

import pytest

PLAIN = {"name": "plain"}
OBJECTIVES = {"objectives": ["softmax"]}


@pytest.fixture
def of(problems):
    """The problems of a backbone with these parameters, or of a modifier with them."""

    def of(backbone=None, modifier=None):
        modifiers = [{"name": "boost", **modifier}] if modifier else []
        return problems(base={"backbone": {**PLAIN, **(backbone or {})}, "modifiers": modifiers, **OBJECTIVES})

    return of


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"width": "big"}, "width: is 'big'. Expected a valid integer (width of a token)."),
        ({"width": "64"}, "width: is '64'. Expected a valid integer (width of a token)."),
        ({"width": 64.0}, "width: is 64.0. Expected a valid integer (width of a token)."),
        ({"width": True}, "width: is True. Expected a valid integer (width of a token)."),
        ({"width": None}, "width: is nothing. Expected a valid integer (width of a token)."),
        ({"width": 0}, "width: is 0. Expected greater than or equal to 1 (width of a token)."),
        ({"width": [1]}, "width: is a list. Expected a valid integer (width of a token)."),
        ({"width": {"a": 1}}, "width: is a mapping. Expected a valid integer (width of a token)."),
        ({"dropout": "0.5"}, "dropout: is '0.5'. Expected a valid number (share of values dropped)."),
        ({"dropout": False}, "dropout: is False. Expected a valid number (share of values dropped)."),
        ({"dropout": "1e-x"}, "dropout: is '1e-x'. Expected a valid number (share of values dropped)."),
        ({"dropout": float("nan")}, "dropout: is nan. Expected a finite number (share of values dropped)."),
        ({"dropout": "2e0"}, "dropout: is '2e0'. Expected less than 1 (share of values dropped)."),
        ({"heads": 3}, "heads: is 3. Expected a list (heads per layer)."),
        ({"heads": [1, "x"]}, "heads[1]: is 'x'. Expected a valid integer (heads per layer)."),
        ({"heads": [1, True]}, "heads[1]: is True. Expected a valid integer (heads per layer)."),
        ({"widht": 3}, "widht: unknown parameter. Did you mean 'width'? Parameters: dropout, heads, width."),
        ({"weight": 1.0}, "weight: only objectives have a weight. Remove it."),
    ],
)
def test_parameters_that_do_not_fit(of, parameters, message):
    assert of(backbone=parameters) == [f"base.backbone.{message}"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"on": 1}, ".on: is 1. Expected a valid boolean (whether it acts)."),
        ({"on": "yes"}, ".on: is 'yes'. Expected a valid boolean (whether it acts)."),
        ({"bound": "x"}, ".bound: is 'x'. Expected a valid number (largest value)."),
        ({"mode": "hard"}, ".mode: is 'hard'. Expected 'no' or 'soft' (how it acts)."),
        ({"bound": 0.5}, ": bound is below alpha. Expected at least alpha."),
    ],
)
def test_parameters_of_a_part_in_a_list(of, parameters, message):
    assert of(modifier=parameters) == [f"base.modifiers[0]{message}"]


def test_numbers_with_an_exponent_are_numbers_where_a_number_is_expected(suite):
    text = {
        "backbone": {"name": "plain", "dropout": "1e-3"},
        "objectives": [{"name": "extra", "alpha": "1E-3", "bound": "2.5e+1", "weight": {"a": "1e-1", "b": 1}}],
    }
    loaded = suite(base=text, train={"lr": "1e-4"}).base
    assert loaded["backbone"].config.dropout == 0.001
    assert (loaded["objectives"][0].config.alpha, loaded["objectives"][0].config.bound) == (0.001, 25.0)
    assert loaded["objectives"][0].weight == {"a": 0.1, "b": 1.0}


def test_a_word_with_an_exponent_stays_a_word(suite):
    assert suite(datasets=[{"name": "files", "path": "1e-3"}]).datasets[0].config.path == "1e-3"


def test_lists_are_taken_for_tuples_behind_a_validator_that_runs_first(suite):
    base = {"backbone": {"name": "eager", "heads": [2, 4]}, **OBJECTIVES}
    assert suite(base=base).base["backbone"].config.heads == (2, 4)


@pytest.mark.parametrize(("word", "value"), [("no", "False"), ("on", "True"), ("YES", "True")])
def test_words_that_yaml_takes_for_booleans_are_explained(problems, word, value):
    text = f"""suite: small
datasets: [{{name: files, path: {word}}}]
base:
  backbone: plain
  objectives: [softmax]
  modifiers: [{{name: boost, mode: {word}}}, {{name: {word}}}, {word}]
  layout: {word}
"""
    hint = f"YAML reads {word} as {value.lower()}: quote it if the word is meant."
    assert problems(text) == [
        f"<text>:2: datasets[0].path: is {value}. Expected a valid string (file to read). {hint}",
        f"<text>:6: base.modifiers[0].mode: is {value}. Expected 'no' or 'soft' (how it acts). {hint}",
        f"<text>:6: base.modifiers[1].name: is {value}. Expected the name of a modifier. {hint}",
        f"<text>:6: base.modifiers[2]: is {value}. Expected the name of a modifier, or {{name: ..., parameter: ...}}. "
        f"{hint}",
        f"<text>:7: base.layout: is {value}. Expected the name of a layout, or {{name: ..., parameter: ...}}. {hint}",
    ]


def test_a_boolean_written_as_one_is_not_explained(problems):
    (problem,) = problems(
        "suite: x\ndatasets: [{name: files, path: true}]\nbase: {backbone: plain, objectives: [softmax]}\n"
    )
    assert problem == "<text>:2: datasets[0].path: is True. Expected a valid string (file to read)."


def test_scalars_are_told_apart_behind_such_a_validator_too(problems):
    base = {"backbone": {"name": "eager", "heads": [2, 4], "width": True, "dropout": "2"}, **OBJECTIVES}
    assert problems(base=base) == [
        "base.backbone.width: is True. Expected a valid integer (width of a token).",
        "base.backbone.dropout: is '2'. Expected a valid number (share of values dropped).",
    ]


def test_a_missing_parameter_is_named(problems):
    assert problems(datasets=["files"]) == ["datasets[0].path: missing. Expected a value (file to read)."]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (
            -1,
            ": is -1. Expected greater than or equal to 0 or a mapping (factor of the loss, or of each of its "
            "terms by name).",
        ),
        ("x", ": is 'x'. Expected a valid number or a mapping (factor of the loss, or of each of its terms by name)."),
        ({"a": "x"}, ".a: is 'x'. Expected a valid number (factor of the loss, or of each of its terms by name)."),
        (
            {"a": -1},
            ".a: is -1. Expected greater than or equal to 0 (factor of the loss, or of each of its terms by name).",
        ),
    ],
)
def test_weights_that_are_none(problems, weight, message):
    base = {"backbone": "plain", "objectives": [{"name": "softmax", "weight": weight}]}
    assert problems(base=base) == [f"base.objectives[0].weight{message}"]


def test_text_that_is_no_unicode_is_refused(problems):
    (problem,) = problems(datasets=[{"name": "files", "path": "\ud800"}])
    assert problem.startswith("datasets[0]: Invalid JSON")
