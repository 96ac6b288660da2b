"""GRU4Rec: gated recurrent units whose state after an event predicts the next item."""

from torch import Tensor, nn

from benchbase.nn import Backbone, PartContext, init_linear

from .config import GRU4RecConfig
from .order import ReadingOrder


class GRU4Rec(Backbone):
    """Dropout of tokens, GRU layers with dropout of their outputs, a linear map back where the GRU is of other width.

    Source: Hidasi et al. 2016, section 3; departures stand in the README.
    """

    def __init__(self, config: GRU4RecConfig):
        super().__init__()
        self.width, self.n_layers, self.n_heads = config.width, config.layers, 0
        self.dropout_input, self.dropout = config.dropout_input, config.dropout
        units = config.units
        self.open_states = units == config.width  # modifiers are built for the width
        self.input_norm = nn.LayerNorm(config.width) if config.input_norm else nn.Identity()
        sizes = [config.width, *[units] * (config.layers - 1)]
        self.layers = nn.ModuleList(nn.GRU(size, units, batch_first=True) for size in sizes)
        self.projection = nn.Identity() if config.hidden is None else nn.Linear(units, config.width)
        if isinstance(self.projection, nn.Linear):
            init_linear(self.projection)

    def forward(self, ctx: PartContext) -> Tensor:
        """States (B, S, D), one per token."""
        order = ReadingOrder(ctx.tokens, ctx.batch.candidate)
        h = ctx.dropout(self.input_norm(ctx.tokens.x), self.dropout_input)
        for layer, gru in enumerate(self.layers):
            h = ctx.dropout(order.run(gru, h), self.dropout)
            h = ctx.states(layer, h) if self.open_states else h
        return self.projection(h)  # type: ignore[no-any-return]
