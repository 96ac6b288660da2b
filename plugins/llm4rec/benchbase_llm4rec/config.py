"""Parameters of the parts."""

from typing import Literal

from pydantic import Field, model_validator

from benchbase import Config, check_heads


class IPSConfig(Config):
    """How likely each item, or each event, was to be shown, and the least that this is taken for."""

    propensity: Literal["popularity", "column", "mark"] = Field(
        "popularity", description="e: guessed by training events, (n_i / max n)^power; a catalogue's column, e(i); "
                                  "or a mark of events, e(u, i)"
    )
    column: str = Field("propensity", min_length=1, description="name of the column or mark with e, from 0 to 1")
    power: float = Field(0.5, ge=0, le=4, description="exponent of popularity, eta")
    clip: float = Field(0.05, gt=0, le=1, description="least propensity: no example weighs more than 1 / clip")


class BackdoorConfig(Config):
    """How popularity Z adds to the score while the model learns, and what of it stays when it ranks."""

    form: Literal["additive", "multiplicative"] = Field(
        "additive", description="f(u, i) + g(z_i) with a learned g for bins of popularity; or exp(f) times pop_i^power"
    )
    bins: int = Field(10, ge=1, le=1000, description="bins of log popularity, B; of the additive form")
    prior: Literal["events", "items"] = Field(
        "events", description="P(z), under which g has mean 0: a bin's share of training events, or of items"
    )
    power: float = Field(1.0, ge=0, le=4, description="exponent of popularity in training, gamma; multiplicative form")
    inject: float = Field(0.0, ge=0, le=4, description="exponent of popularity in ranking; multiplicative form")

    @model_validator(mode="after")
    def _of_one_form(self) -> "BackdoorConfig":
        other = {"additive": ("power", "inject"), "multiplicative": ("bins", "prior")}[self.form]
        for name in other:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no say in the {self.form} form. Leave it out, or take the other form.")
        return self


class ParityConfig(Config):
    """Whom the states must not tell apart, and how hard the model is moved against the opponent that tries."""

    group: str = Field(
        "gender", min_length=1, description="what is known of users, S: one of the data set's user_groups"
    )
    strength: float = Field(0.1, ge=0, le=1e6, description="weight of the opponent in the model's gradient, lambda_f")
    game: Literal["reversal", "prior"] = Field(
        "reversal", description="the model ascends the opponent's loss, or descends its cross-entropy with P(S)"
    )
    hidden: int = Field(64, ge=1, le=4096, description="units of the opponent's hidden layer")


class EWCConfig(Config):
    """How hard parameters are held where training left them."""

    strength: float = Field(100.0, ge=0, le=1e9, description="weight of the penalty, lambda; 0: plain online learning")
    examples: int = Field(2000, ge=1, le=10_000_000, description="single targets whose gradients make F")


Columns = tuple[str, ...]


def named_once(kind: str, names: Columns) -> None:
    """Refuse a name that is given twice."""
    if len(set(names)) < len(names):
        raise ValueError(f"{kind} names one twice: {', '.join(names)}. Expected each once. Remove one.")


class TextConfig(Config):
    """What is read of items as text, and what makes vectors of it."""

    text: Columns = Field((), description="columns of text, read as one: title, brand, ...")
    sentences: str = Field(
        "", description="what makes vectors of text: the folder of a Hugging Face encoder, or an installed "
                        "distribution that carries one; empty: TF-IDF and a truncated SVD"
    )
    text_width: int = Field(64, ge=1, le=4096, description="dimensions that the SVD leaves")

    @model_validator(mode="after")
    def _each_once(self) -> "TextConfig":
        named_once("text", self.text)
        if self.sentences and not self.text:
            raise ValueError("sentences is given, and text names no column. Expected some. Name them, or remove it.")
        return self


class MultimodalConfig(TextConfig):
    """Which of the things known of items make their vectors, and how they become one; each part can be left out."""

    categories: Columns = Field((), description="columns of categories: genre, ...")
    numbers: Columns = Field((), description="columns of numbers: price, ...")
    times: Columns = Field((), description="columns of years or Unix times: year, ...")
    place: Columns = Field((), description="the two columns of latitude and longitude, in degrees")
    vectors: Columns = Field((), description="vectors that the data set has of items: image, audio, ...")
    attention: bool = Field(True, description="modalities attend to each other, A_{m to n}")
    fusion: Literal["adaptive", "mean"] = Field(
        "adaptive", description="weights alpha of modalities: learned, or all equal"
    )
    beta: float = Field(0.1, ge=0, le=100, description="where the learned weight of the MLP begins; 0: without it")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of what is fused")

    @model_validator(mode="after")
    def _fit(self) -> "MultimodalConfig":
        for kind in ("categories", "numbers", "times", "place", "vectors"):
            named_once(kind, getattr(self, kind))
        if self.place and len(self.place) != 2:
            raise ValueError(f"place names {len(self.place)} columns. Expected two, of latitude and longitude. Name "
                             "both.")
        return self


class RetrievalConfig(TextConfig):
    """How many entries of the catalogue's text are read beside a sequence, and how they are ranked."""

    k: int = Field(10, ge=0, le=20, description="entries read, K; 0: the plain backbone")
    decay: float = Field(30.0, ge=0, le=1e6, description="days, tau: an entry counts exp(-age / tau); 0: without decay")
    credibility: float = Field(
        5.0, ge=0, le=1e9, description="events, n_0: an entry counts n / (n + n_0) of n earlier events; 0: all alike"
    )
    temperature: float = Field(0.1, gt=0, le=1e3, description="of the weights of entries, T: softmax of rho / T")
    recency: float = Field(0.8, ge=0, le=1, description="share that an event has in the query, of that of the next one")


class CausalLMConfig(Config):
    """Which language model reads vectors of items, and what of it learns."""

    checkpoint: str = Field(
        "", description="the folder of a Hugging Face causal language model, or an installed distribution that "
                        "carries one; empty: a small one with weights drawn anew"
    )
    architecture: Literal["llama", "gpt2", "qwen2"] = Field(
        "llama", description="the kind of the small one; a checkpoint says its own, as it says the next three"
    )
    hidden: int = Field(64, ge=1, le=65_536, description="width of its states")
    layers: int = Field(2, ge=1, le=512, description="its blocks")
    heads: int = Field(2, ge=1, le=512, description="its attention heads; they divide `hidden`")
    width: int = Field(64, ge=1, le=8192, description="width of item vectors; two linear maps where it is not `hidden`")
    tune: Literal["all", "adapters", "none"] = Field(
        "all", description="what of it learns: everything, low-rank adapters beside its linear maps, or nothing"
    )
    rank: int = Field(8, ge=1, le=4096, description="rank of the adapters, r")
    scale: float = Field(2.0, gt=0, le=1e3, description="factor of the adapters, alpha / r")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of tokens and of what attention gives")

    @model_validator(mode="after")
    def _heads(self) -> "CausalLMConfig":
        if not self.checkpoint:
            check_heads(self.hidden, self.heads)
            if self.architecture != "gpt2" and (self.hidden // self.heads) % 2:
                raise ValueError(
                    f"hidden: {self.hidden} over {self.heads} heads is {self.hidden // self.heads}, which is odd. "
                    "Expected an even width of heads to turn by positions. Use other heads, or architecture: gpt2."
                )
        return self


class EvidenceConfig(Config):
    """Which events of a user's past are said to speak for what is recommended."""

    evidence: Literal["attention", "similarity", "categories", "recent"] = Field(
        "similarity", description="those that the state attends to most; whose vectors are nearest to the item's; that "
                                  "share most categories with it; the last ones. Later events first where level"
    )
    events: int = Field(2, ge=1, le=10, description="how many, at most: one event is always left")


class TemplateConfig(EvidenceConfig):
    """A sentence with places for names."""


class TextExplainerConfig(EvidenceConfig):
    """A language model that chooses, or writes, the sentence."""

    checkpoint: str = Field(
        "", description="the folder of a Hugging Face causal language model with its tokenizer, or an installed "
                        "distribution that carries one; empty: a small one over bytes, with weights drawn anew"
    )
    decode: Literal["constrained", "free"] = Field(
        "constrained", description="the likeliest of sentences that are true, or whatever it goes on with"
    )
    tokens: int = Field(60, ge=1, le=1000, description="of a sentence that it goes on with, at most")
