"""Suites over a language model, end to end: one drawn anew, and the same suite with a checkpoint's."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from benchbase.cli import main
from benchbase.runner import read_all
from benchbase.runner.records import Record

pytestmark = pytest.mark.plugins

transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBASE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BENCHBASE_DATA", str(tmp_path))


def run(folder: Path, backbone: str, **keys: Any) -> Result:
    log = [f"u{user} " + " ".join(f"i{(user + step) % 12}" for step in range(8)) for user in range(24)]
    (folder / "log.txt").write_text("\n".join(log) + "\n")
    suite = {
        "suite": "language", "datasets": ["files[format=sequence,path=log.txt]"], "seeds": [1], "guards": False,
        "protocol": {"split": "leave_one_out", "window": 6, "filter_seen": "none", "metrics": ["recall@1"]},
        "train": {"epochs": 12, "patience": 0, "batch": 8, "lr": 0.01, "device": "cpu"},
        "base": {"backbone": backbone, "objectives": ["softmax"]}, **keys,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    return CliRunner().invoke(main, ["run", str(folder / "suite.yaml"), "--out", str(folder / "runs")])


def found(folder: Path) -> list[Record]:
    return [record for _, record in read_all(folder / "runs") if isinstance(record, Record)]


def save(folder: Path) -> None:
    config = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
        vocab_size=20, max_position_embeddings=32)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def test_a_small_language_model_and_a_checkpoint_learn_what_comes_next(tmp_path: Path) -> None:
    """Each item is followed by the next number, whatever the user: a rule that one state suffices for."""
    save(tmp_path / "lm")
    for backbone in ("causal_lm[hidden=32,width=32,layers=1,dropout=0]", "causal_lm[checkpoint=lm,width=32,dropout=0]"):
        result = run(tmp_path, backbone)
        assert result.exit_code == 0, result.output
    small, real = found(tmp_path)
    assert {small.facts["status"], real.facts["status"]} == {"ok"} and small.run_id != real.run_id
    assert small.facts["metrics"]["recall@1"] > 0.8 and real.facts["metrics"]["recall@1"] > 0.8


def test_modifiers_of_attention_act_in_it(tmp_path: Path) -> None:
    result = run(tmp_path, "causal_lm[hidden=16,width=16,layers=2]", entries=[{"modifiers": ["causal_boost"]}])
    assert result.exit_code == 0, result.output
    plain, boosted = sorted(found(tmp_path), key=lambda record: bool(record.facts["configuration"]["modifiers"]))
    assert plain.facts["status"] == boosted.facts["status"] == "ok"
    assert plain.facts["route"] != boosted.facts["route"]


def test_a_checkpoint_that_is_nowhere_says_where_it_was_looked_for(tmp_path: Path) -> None:
    result = run(tmp_path, "causal_lm[checkpoint=nowhere]")
    assert "no causal language model" in result.output and str(tmp_path / "nowhere") in result.output
    assert "Traceback" not in result.output and "plugin" not in result.output
