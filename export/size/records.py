"""Records of where bytes go."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TensorBytes:
    """One stored tensor: the bytes of its values, and those of its name, shape and framing."""

    name: str
    type: str
    shape: tuple[int, ...]
    values: int
    framing: int
    operator: str  # the first operator that reads it
    per_token: bool  # one row a token: grows with the vocabulary

    @property
    def bytes(self) -> int:
        """All bytes of the tensor in the file."""
        return self.values + self.framing


@dataclass(frozen=True)
class OperatorBytes:
    """All nodes of one operator: their description, and the tensors that they are the first to read."""

    operator: str
    nodes: int
    bytes: int
    tensors: int


@dataclass(frozen=True)
class GraphBytes:
    """An ONNX file: tensors + nodes + rest = total."""

    total: int
    tensors: tuple[TensorBytes, ...]  # largest first
    operators: tuple[OperatorBytes, ...]
    rest: int  # inputs, outputs, versions, framing of the graph

    @property
    def table(self) -> int:
        """Bytes that belong to the token table."""
        return sum(tensor.bytes for tensor in self.tensors if tensor.per_token)


@dataclass(frozen=True)
class TokenizerBytes:
    """A `tokenizer.json`: parts + rest = total."""

    total: int
    parts: dict[str, int]
    rest: int  # keys, punctuation and white space between the parts


@dataclass(frozen=True)
class SizeReduction:
    """A way to make the shipped files smaller. Bytes are computed; the cost says whether it is measured."""

    action: str
    bytes: int
    cost: str
    relative_loss: float  # of nDCG@10 where it is an estimate, of the cosine where it was measured


@dataclass(frozen=True)
class BundleBytes:
    """A folder: the shipped graph and tokenizer explained, and the size of every file."""

    files: dict[str, int]
    graph: GraphBytes
    tokenizer: TokenizerBytes | None
    size_reductions: tuple[SizeReduction, ...]
    graph_name: str = ""
    total: int = field(default=0)
    costs_measured: bool = False  # on this very student


@dataclass(frozen=True)
class SizeItem:
    """A part of a shipped file in a flat breakdown."""

    file: str
    name: str
    bytes: int
    detail: str = ""
