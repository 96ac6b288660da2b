"""Modules by the name of their part."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Generic, Self, TypeVar, cast

from torch import nn

P = TypeVar("P", bound=nn.Module)


class Parts(nn.Module, Generic[P]):
    """Modules by the name of their part, in the order given.

    Unlike an `nn.ModuleDict` it takes every name a part may have, `items`, `type` or `training` among them.
    """

    def __init__(self, parts: Mapping[str, P]):
        super().__init__()
        self._modules.update(parts)  # `add_module` refuses names of attributes

    def train(self, mode: bool = True) -> Self:
        self.__dict__["training"] = mode  # a plain assignment would be taken for the part of that name
        for part in self.values():
            part.train(mode)
        return self

    def __getitem__(self, name: str) -> P:
        return cast(P, self._modules[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def items(self) -> ItemsView[str, P]:
        return cast(Mapping[str, P], self._modules).items()

    def values(self) -> ValuesView[P]:
        return cast(Mapping[str, P], self._modules).values()
