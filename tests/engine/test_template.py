"""Chat templates render what they should, and those from hostile files neither hang, nor swell, nor reach out."""

from __future__ import annotations

import pytest

from peernode.engine.worker.template import CHATML, ChatTemplate, TemplateFailed
from peernode.wire import canonical

TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]


def test_chatml_renders_a_conversation() -> None:
    rendered = ChatTemplate(CHATML).render(TALK)
    assert rendered == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_the_digest_names_the_source() -> None:
    assert ChatTemplate(CHATML).digest == canonical.digest(CHATML.encode())


def test_a_template_without_a_system_role_gets_its_words_in_the_first_user_turn() -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "[{{ m.role }}] {{ m.content }}{% endfor %}"
    )
    assert ChatTemplate(source).render(TALK) == "[user] Be kind.\n\nHi"


def test_a_template_that_takes_only_parts_of_content_gets_parts() -> None:
    source = (
        "{% for m in messages %}[{{ m.role }}]{% for part in m.content %}"
        "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    assert ChatTemplate(source).render(TALK) == "[system]Be kind.[user]Hi"
    assert ChatTemplate("{{ messages[0].content }}").render(TALK[1:]) == "Hi"
    assert ChatTemplate("always the same").render(TALK) == "always the same"


def test_a_template_that_objects_to_messages_says_why() -> None:
    source = "{% if messages | length > 2 %}{{ raise_exception('too many turns') }}{% endif %}ok"
    template = ChatTemplate(source)
    with pytest.raises(TemplateFailed) as failure:
        template.render([{"role": "user", "content": "Hi"}] * 3)
    assert failure.value.cause == "too many turns"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{{ 'x' * 9999999999 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ 'x' | center(9999999999) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{{ nothing.at.all }}",
        "{% broken",
        "x" * (2 << 20),
    ],
    ids=lambda source: source[:40],
)
def test_a_hostile_or_broken_template_is_refused_at_once(source: str) -> None:
    with pytest.raises(TemplateFailed):
        ChatTemplate(source, time_limit_s=0.2)


def test_the_failure_of_a_template_does_not_quote_what_was_said() -> None:
    template = ChatTemplate("{% if messages | length > 1 %}{{ messages[0].content | int / 0 }}{% endif %}ok")
    with pytest.raises(TemplateFailed) as failure:
        template.render([{"role": "user", "content": "my secret"}] * 2)
    assert "secret" not in str(failure.value)
