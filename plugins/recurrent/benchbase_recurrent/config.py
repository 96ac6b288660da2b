"""Parameters of the recurrent backbone."""

from pydantic import Field

from benchbase import Config


class GRU4RecConfig(Config):
    """Parameters of GRU4Rec."""

    width: int = Field(64, ge=1, le=8192, description="width of item vectors and of the states that meet them")
    hidden: int | None = Field(
        None, ge=1, le=8192, description="units of every GRU layer, mapped back to the width; none: the width, no map"
    )
    layers: int = Field(1, ge=1, le=64, description="GRU layers, each reading the states of the one before")
    dropout_input: float = Field(0.2, ge=0, lt=1, description="dropout of tokens")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of every layer's output, none inside the recurrence")
    input_norm: bool = Field(False, description="layer norm of tokens before the first layer")

    @property
    def units(self) -> int:
        """Units of every GRU layer."""
        return self.hidden or self.width
