"""The compact tokenizer is the same tokenizer, only shorter."""

import json

import pytest
from builders.small_student import small_tokenizer
from pocketrank.export.bundle.tokenizer import compact_tokenizer, first_difference, special_tokens
from pocketrank.export.check.tokenizer_edge_cases import TOKENIZER_EDGE_CASES
from pocketrank.runtime.errors import InputError
from tokenizers import Tokenizer, models, pre_tokenizers


@pytest.fixture
def pretty():
    made = small_tokenizer()
    made.enable_truncation(16)
    made.enable_padding(length=16)
    return json.dumps(json.loads(made.to_str()), indent=2, ensure_ascii=True).encode()


def test_it_is_shorter_and_reads_hostile_texts_alike(pretty):
    compact = compact_tokenizer(pretty)
    assert len(compact) < 0.6 * len(pretty)
    assert first_difference(pretty, compact, TOKENIZER_EDGE_CASES) is None
    one, two = Tokenizer.from_str(pretty.decode()), Tokenizer.from_str(compact.decode())
    one.no_truncation()
    one.no_padding()
    for text in TOKENIZER_EDGE_CASES:
        assert one.encode(text).ids == two.encode(text).ids
        assert one.encode(text, "second").type_ids == two.encode(text, "second").type_ids
        assert one.decode(one.encode(text).ids) == two.decode(two.encode(text).ids)


def test_random_unicode_is_read_alike(pretty):
    import random

    draw = random.Random(4)
    ranges = [(0, 0x2FF), (0x300, 0x36F), (0x370, 0x1FFF), (0x2000, 0x2BFF), (0x3000, 0xD7FF), (0xE000, 0x1FFFF)]
    texts = ["".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(40)) for _ in range(500)]
    assert first_difference(pretty, compact_tokenizer(pretty), texts) is None


def test_it_is_canonical_and_holds_no_session_settings(pretty):
    compact = compact_tokenizer(pretty)
    assert compact_tokenizer(compact) == compact
    content = json.loads(compact)
    assert "truncation" not in content
    assert "padding" not in content
    assert "漢" in compact.decode()


def test_a_unigram_tokenizer_keeps_its_scores():
    made = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.2345678901234567), ("b", -2.5)], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    text = made.to_str(pretty=True).encode()
    compact = compact_tokenizer(text)
    assert json.loads(compact)["model"] == json.loads(text)["model"]


def test_a_tokenizer_that_differs_is_found(pretty):
    content = json.loads(pretty)
    vocabulary = content["model"]["vocab"]
    vocabulary["hello"], vocabulary["world"] = vocabulary["world"], vocabulary["hello"]
    assert first_difference(pretty, json.dumps(content).encode(), ["merge", "hello"]) == "hello"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"model": {}}', b'{"model": {"type": "Nonsense"}}', b"\xff"]
)
def test_what_is_no_tokenizer_is_refused(data):
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        compact_tokenizer(data)


def test_roles_of_special_tokens_are_found(pretty):
    roles = special_tokens(json.loads(pretty))
    assert roles["pad_token"] == "[PAD]"
    assert roles["mask_token"] == "[MASK]"
    assert special_tokens({"added_tokens": None}) == {}
