"""What `init` writes, in English and in Turkish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Templates:
    """The files' texts in one language; `next_steps` has `{enter}` where another folder has to be entered first."""

    config: str
    hello: str
    next_steps: str


_CONFIG_EN = """\
# yaml-language-server: $schema=.conwp-bot/config.schema.json
# The settings of conwp-bot; what is not here has its default. Paths are relative to this file.
# `conwp-bot check` says what is wrong, and where.

flows: flows                  # a flow per file
data: data                    # the database, archived and rejected files
timezone: Europe/Istanbul     # of flows that name none
locale: en_GB                 # how dates, numbers and money are written

accounts:
  default:
    api_key: ${CONWP_API_KEY} # from the environment; also file:/path/to/key, or credential:NAME (systemd)
    limit: 1000/hour          # requests in any 60 minutes

web:
  listen: 127.0.0.1:8700      # webhooks at /hooks/..., health at /healthz
"""

_CONFIG_TR = """\
# yaml-language-server: $schema=.conwp-bot/config.schema.json
# conwp-bot ayarları; burada olmayan her şeyin bir varsayılanı var. Yollar bu dosyaya göredir.
# Neyin nerede yanlış olduğunu `conwp-bot check` söyler.

flows: flows                  # her dosya bir akış
data: data                    # veritabanı, arşivlenen ve reddedilen dosyalar
timezone: Europe/Istanbul     # saat dilimi belirtmeyen akışlar için
locale: tr_TR                 # tarih, sayı ve para yazımı

accounts:
  default:
    api_key: ${CONWP_API_KEY} # ortam değişkeninden; file:/anahtar/yolu veya credential:AD (systemd) de olur
    limit: 1000/hour          # herhangi bir 60 dakikadaki istek sayısı

web:
  listen: 127.0.0.1:8700      # webhook'lar /hooks/... altında, sağlık /healthz
"""

_HELLO_EN = """\
# yaml-language-server: $schema=../.conwp-bot/flow.schema.json
# A flow says: when this happens, send that message. Fire this one by hand:
#   conwp-bot fire hello
#   conwp-bot fire hello --payload '{"name": "Ayşe"}'
# or, while `conwp-bot run` is running, over HTTP:
#   curl -d '{"name": "Ayşe"}' -H 'Content-Type: application/json' http://127.0.0.1:8700/hooks/hello
description: Say hello

triggers:
  - webhook: hello
    scheme: none               # anybody on this machine may call it; `token`, `github` or `standard` ask for a secret
  # - cron: "0 9 * * mon-fri"  # uncomment: every weekday at nine

vars:
  me: +90 555 123 45 67        # write your own number here

steps:
  - send:
      to: "{{ vars.me }}"
      text: |
        Hello {{ (event.payload | default({})).name | default("world") }}!
        It is {{ now() | time }} on {{ now() | date("d MMMM") }}.
"""

_HELLO_TR = """\
# yaml-language-server: $schema=../.conwp-bot/flow.schema.json
# Bir akış şunu der: şu olduğunda, şu mesajı gönder. Bunu elle başlatın:
#   conwp-bot fire hello
#   conwp-bot fire hello --payload '{"name": "Ayşe"}'
# ya da `conwp-bot run` çalışırken HTTP ile:
#   curl -d '{"name": "Ayşe"}' -H 'Content-Type: application/json' http://127.0.0.1:8700/hooks/hello
description: Merhaba de

triggers:
  - webhook: hello
    scheme: none               # bu makinedeki herkes çağırabilir; `token`, `github` veya `standard` bir sır ister
  # - cron: "0 9 * * mon-fri"  # açın: hafta içi her gün dokuzda

vars:
  me: +90 555 123 45 67        # buraya kendi numaranızı yazın

steps:
  - send:
      to: "{{ vars.me }}"
      text: |
        Merhaba {{ (event.payload | default({})).name | default("dünya") }}!
        Bugün {{ now() | date("d MMMM") }}, saat {{ now() | time }}.
"""

_NEXT_EN = """\
Next:
{enter}  write your own number into flows/hello.yaml
  conwp-bot check                  # is everything right?
  conwp-bot run --sandbox          # try it: a local ConWP, nothing is really sent
  conwp-bot fire hello             # in another terminal: the first message
  export CONWP_API_KEY=...         # then for real, with your key from ConWP
  conwp-bot run
"""

_NEXT_TR = """\
Sırada:
{enter}  flows/hello.yaml içine kendi numaranızı yazın
  conwp-bot check                  # her şey doğru mu?
  conwp-bot run --sandbox          # deneyin: yerel bir ConWP, gerçekte hiçbir şey gönderilmez
  conwp-bot fire hello             # başka bir terminalde: ilk mesaj
  export CONWP_API_KEY=...         # sonra gerçekten, ConWP anahtarınızla
  conwp-bot run
"""

TEMPLATES: Mapping[str, Templates] = MappingProxyType(
    {
        "en": Templates(_CONFIG_EN, _HELLO_EN, _NEXT_EN),
        "tr": Templates(_CONFIG_TR, _HELLO_TR, _NEXT_TR),
    }
)

GITIGNORE = """\
/data/
*.env
"""

VSCODE = {
    "yaml.schemas": {
        "./.conwp-bot/flow.schema.json": ["flows/**/*.yaml", "flows/**/*.yml"],
        "./.conwp-bot/config.schema.json": ["config.yaml"],
    }
}
