"""The list of operators that accompanies a file in ORT format, by which small builds of ONNX Runtime are made."""

SUFFIX = ".required_operators.config"


def required_operators(content: str) -> list[str]:
    """Return the operators of such a list as the manifest writes them: "Add", "com.microsoft:BiasGelu"."""
    operators: list[str] = []
    for line in content.splitlines():
        if line.startswith("#"):
            continue
        domain, _, rest = line.partition(";")
        depth, name = 0, ""
        for character in f"{rest.partition(';')[2]},":  # after the opset; types stand in braces behind an operator
            depth += (character == "{") - (character == "}")
            if depth or character == "}":
                continue
            if character != ",":
                name += character
            elif name:
                operators.append(name if domain == "ai.onnx" else f"{domain}:{name}")
                name = ""
    return sorted(set(operators))
