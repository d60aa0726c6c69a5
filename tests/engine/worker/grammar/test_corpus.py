"""Whatever is said under a mask, at random, parses and validates: 280 schemas on a real vocabulary and a tiny one."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from peernode.chat.output_format import OutputFormat
from tests.engine.worker.grammar.schemas import corpus

# The library reads the vocabulary through a function that llama-cpp-python has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:llama_token_get_attr:DeprecationWarning")
CHECK_FORMATS = jsonschema.Draft202012Validator.FORMAT_CHECKER


@pytest.mark.parametrize("which", ["demo", "tiny"])
@pytest.mark.parametrize("jump_ahead", [True, False])
def test_every_schema_is_served_and_kept(request, which, jump_ahead, monkeypatch):
    speaker = request.getfixturevalue(which)
    monkeypatch.setattr(speaker.grammars, "_jump_ahead", jump_ahead)
    rng = np.random.default_rng(3)
    schemas = corpus()
    assert len(schemas) >= 200
    assert len({json.dumps(schema) for _, schema in schemas}) >= 200
    cut = []
    for name, schema in schemas:
        constraint = speaker.grammars.constrain(OutputFormat("json_schema", json.dumps(schema, ensure_ascii=False)))
        ids = speaker.say(constraint, rng)
        if ids is None:
            cut.append(name)
            continue
        answer = json.loads(speaker.text(ids))
        jsonschema.Draft202012Validator(schema, format_checker=CHECK_FORMATS).validate(answer)
    assert len(cut) <= 6, cut
