"""Templates that want out, or want everything: each ends at once, in a problem or a failed rendering."""

from __future__ import annotations

import resource
import time

import pytest
from render_kit import scope, text

from conwp_bot.errors import RenderFailed
from conwp_bot.flows.render import TemplateProblem, compile_text, compile_value

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''['__cl' ~ 'ass__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [''] | map(attribute='__class__') | list }}",
    "{{ [''] | map(attribute='__class__.__mro__') | list }}",
    "{{ ['a'] | map('attr', '__class__') | list }}",
    "{{ ['a'] | map(attribute='upper') | list }}",
    "{{ [''] | selectattr('__class__.__name__', 'eq', 'str') | first }}",
    "{{ [''] | groupby('__class__') }}",
    "{{ [''] | sort(attribute='__class__') }}",
    "{{ [''] | sum(attribute='__class__') }}",
    "{{ [''] | join(attribute='__class__') }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum() }}",
    "{{ cycler('a') }}",
    "{{ namespace(x=1).x }}",
    "{{ dict(a=1) }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ super() }}",
    "{{ config }}",
    "{{ request.application.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ get_flashed_messages.__globals__.__builtins__ }}",
    "{{ now.__globals__ }}",
    "{{ now.run }}",
    "{{ now['run'] }}",
    "{{ now.owner }}",
    "{{ range.__self__ }}",
    "{{ ''.upper.__self__ }}",
    "{{ ''.upper.run }}",
    "{{ ''.upper.run('x') }}",
    "{{ ''.upper['__self__'] }}",
    "{{ environment }}",
    "{{ context }}",
    "{{ __render__ }}",
    "{{ __render__.now }}",
    "{{ __value__ }}",
    "{{ missing }}",
    "{{ undefined }}",
    "{{ l_0_event }}",
    "{{ event.payload.name.__init__ }}",
    "{{ event.__class__ }}",
    "{{ event.payload.items.append(1) }}",
    "{{ event.payload.items.clear() }}",
    "{{ event.payload.clear() }}",
    "{{ event.payload.pop('name') }}",
    "{{ event.payload.update({'a': 1}) }}",
    "{{ event.payload.setdefault('a', 1) }}",
    "{{ event.payload.__setitem__('a', 1) }}",
    "{{ event.payload.items.__getitem__(0) }}",
    "{{ 'a {0.__class__}'.format(1) }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(event) }}",
    "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "{{ ''['format'](1) }}",
    "{{ ''['for' ~ 'mat'] }}",
    "{{ ['{0.__class__}'] | map('format', 1) | first }}",
    "{{ '{0.__class__}' | format(1) }}",
    "{{ '%s' | format(event) }}",
    "{{ '%s' % event }}",
    "{{ '%(x)s' % {'x': 1} }}",
    "{% set f = 'a{}'.format %}{{ f(1) }}",
    "{{ canary }}",
    "{{ canary.secret }}",
    "{{ canary['secret'] }}",
    "{{ canary.method() }}",
    "{{ canary() }}",
    "{{ [canary] }}",
    "{{ [canary] | map(attribute='secret') | join }}",
    "{{ canary ~ '' }}",
    "{{ canary | string }}",
    "{{ canary | tojson }}",
    "{{ canary | upper }}",
    "{{ canary | list }}",
    "{{ canary | length }}",
    "{{ canary + canary }}",
    "{{ canary < canary }}",
    "{{ event() }}",
    "{{ event.payload.name() }}",
    "{{ (1)() }}",
    "{{ now().tzinfo }}",
    "{{ now().strftime('%c') }}",
    "{{ now().__reduce__() }}",
    "{{ (1).real }}",
    "{{ (1).to_bytes(9) }}",
    "{{ 'a'.encode() }}",
    "{{ 'a'.translate({97: 'b' * 9}) }}",
    "{% include 'x' %}",
    "{% include event.payload.name %}",
    "{% import 'os' as os %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block a %}{% endblock %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call now() %}{% endcall %}",
    "{% autoescape false %}{% endautoescape %}",
    "{% do event.payload.clear() %}",
    "{% debug %}",
    "{% set event.payload = 1 %}",
    "{% set __x = 1 %}",
    "{% set self = 1 %}",
    "{% set loop = 1 %}",
    "{% for loop in [1] %}{% endfor %}",
    "{% for x in [1] %}{{ loop() }}{% endfor %}",
    "{% for x in [1] %}{{ loop }}{% endfor %}",
    "{% for x in [1] %}{{ loop._iterator }}{{ loop.__init__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop['_iterable'] }}{% endfor %}",
    "{% for x in [[1]] recursive %}{{ loop(x) }}{% endfor %}",
    "{{ now(*[1]) }}",
    "{{ now(**{'a': 1}) }}",
    "{{ now(_loop_vars=1) }}",
    "{{ 'a' | replace('a', 'b', count=1, count=2) }}",
]

BOMBS = [
    "{% for a in range(99999) %}{% endfor %}",
    "{{ range(10**9) }}",
    "{{ range(10**9) | list }}",
    "{{ range(0, 10**18, 1) | sum }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}",
    "{% for a in event.payload.many %}{% for b in event.payload.many %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}" + "x" * 1000 + "{% endfor %}",
    "{% set s %}{% for a in range(9999) %}" + "x" * 1000 + "{% endfor %}{% endset %}",
    "{% for a in range(9999) %}{{ 'x' * 1000 }}{% endfor %}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ 'x' * 99999 * 99999 }}",
    "{{ [0] * 10**9 }}",
    "{{ ([0] * 9999) * 9999 }}",
    "{{ 'x'.ljust(10**9) }}",
    "{{ 'x'.rjust(10**9) }}",
    "{{ 'x'.center(10**9) }}",
    "{{ 'x'.zfill(10**9) }}",
    "{{ 'x\t'.expandtabs(10**9) }}",
    "{{ 'x' | center(10**9) }}",
    "{{ 'x' | indent(10**9) }}",
    "{{ 'x' | wordwrap(1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 10 ** 10 ** 10 ** 10 }}",
    "{{ 9 ** 99999999 }}",
    "{{ 2 ** 2000 }}",
    "{% set a = 9 ** 300 %}{% set b = a * a %}{% set c = b * b %}{{ c * c }}",
    "{{ 1 << 9 }}",
    "{{ 10.0 ** 400 }}",
    "{{ invoice.total ** 99999 }}",
    "{{ number('1e99999') | int }}",
    "{{ ('9' * 5000) | int }}",
    "{{ " + "9" * 5000 + " }}",
    "{{ 0x" + "f" * 5000 + " }}",
    "{{ 1e999 }}",
    "{{ ('x' * 9999).replace('x', 'y' * 9999) }}",
    "{{ ('x' * 9999) | replace('x', 'y' * 9999) }}",
    "{{ 'x'.replace('', 'y' * 9999) }}",
    "{{ ('x' * 9999).join(range(9999)) }}",
    "{{ range(9999) | join('x' * 9999) }}",
    "{% set a = 'x' * 99999 %}{% set b = a ~ a ~ a ~ a ~ a ~ a %}{{ b ~ b ~ b ~ b ~ b }}",
    "{% set a = 'x' * 9999 %}" + "{% set a = a ~ a %}" * 20,
    "{% set a = [0] * 999 %}" + "{% set a = a + a %}" * 20 + "{{ a | length }}",
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a | tojson }}",
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ a == b }}",
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ a in [b] }}",
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ [a, b] | sort }}",
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ [a, b] | unique }}",
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ [a].index(b) }}",
    "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 40 + "{{ {a: 1} }}",
    "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 40 + "{{ event.payload[a] }}",
    "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 40 + "{{ event.payload.get(a) }}",
    "{% for i in range(9999) %}{{ event.payload.many == event.payload.many[:] }}{% endfor %}",
    "{% for i in range(9999) %}{{ 'y' in event.payload.big }}{% endfor %}",
    "{% for i in range(9999) %}{{ i in event.payload.many }}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.big | upper %}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.big[1:] %}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.many[1:] %}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.many | sort %}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.big.split('x') %}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.many | map('string') %}{% endfor %}",
    "{% for i in range(9999) %}{% set x = event.payload.big | tojson %}{% endfor %}",
    "{{ event.payload.big }}",
    "{{ event.payload.many }}",
    "{{ [1] | batch(10**9, 0) }}",
    "{{ 'x' | truncate(-1) }}",
    "{{ 1 | round(10**9) }}",
    "{{ 1.5 | number(10**9) }}",
    "{{ today() + days(10**9) }}",
    "{{ days(10**99) }}",
    "{{ now() | date('" + "d" * 60 + "') }}",
    "{{ now() | date(" + repr("y" * 99999) + ") }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "{{ " + "{1:" * 500 + "1" + "}" * 500 + " }}",
    "{{ " + "-" * 9000 + "1 }}",
    "{{ " + "not " * 8000 + "1 }}",
    "{{ 1" + "+1" * 9000 + " }}",
    "{{ 1" + " if 1 else 1" * 2000 + " }}",
    "{{ event" + ".a" * 9000 + " }}",
    "{{ event" + "[0]" * 5000 + " }}",
    "{{ 1" + "|abs" * 5000 + " }}",
    "{{ now" + "()" * 5000 + " }}",
    "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "{% for a in [1] %}" * 30 + "{% endfor %}" * 30,
    "{% set x %}" * 200 + "{% endset %}" * 200,
    "x" * 40_000 + "{{ 1 }}",
    "{#" * 16_000,
    "{% " * 10_000,
    "{{ '" + "\\" * 30_000,
    "{# x\n" * 6_000,
    "{{ 1" + "_1" * 15_000 + "e }}",
]


@pytest.mark.parametrize("source", ESCAPES + BOMBS, ids=lambda source: source[:60])
def test_a_hostile_template_ends_at_once_and_small(source: str) -> None:
    names = scope()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with pytest.raises((TemplateProblem, RenderFailed)) as caught:
        compile_text(source, field="text").render(names)
    assert time.process_time() - begun < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024
    assert "gold" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("source", BOMBS[:60], ids=lambda source: source[:60])
def test_a_hostile_value_ends_at_once(source: str) -> None:
    begun = time.process_time()
    try:
        compile_value({"a": [source]}, field="set").evaluate(scope())
    except (TemplateProblem, RenderFailed):
        pass
    assert time.process_time() - begun < 1.0


@pytest.mark.parametrize("bomb", ["{{ a }}", "a={{ a }}", "{{ [a, a] == [a[:], a] }}", "{{ {'a': a} | tojson }}"])
def test_a_value_that_refers_to_itself_many_times_is_refused(bomb: str) -> None:
    a: list[object] = [1]
    for _ in range(40):
        a = [a, a]
    with pytest.raises(RenderFailed, match=r"more work|nested|too large"):
        compile_value(bomb, field="set").evaluate(scope(a=a))


def test_a_payload_is_never_compiled() -> None:
    assert text("{{ event.payload.evil }}") == "{{ 7 * 7 }}{% for x in range(9) %}!{% endfor %}"
    assert text("{% set x = event.payload.evil %}{{ x }}") == "{{ 7 * 7 }}{% for x in range(9) %}!{% endfor %}"


def test_a_value_is_data_after_a_hostile_template() -> None:
    names = scope()
    before = dict(names["event"]["payload"])
    for source in ESCAPES:
        try:
            compile_text(source, field="text").render(names)
        except (TemplateProblem, RenderFailed):
            pass
    assert names["event"]["payload"] == before
