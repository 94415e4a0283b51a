from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from conwp_bot.documents.form import Form
from conwp_bot.documents.reader import read_document
from conwp_bot.model.problem import Severity
from conwp_bot.model.secret import Secret
from conwp_bot.settings import Bulk, Pace, Settings
from conwp_bot.settings.form import AccountForm, ConfigForm, LogForm, PaceForm, WebForm
from conwp_bot.settings.load import config_schema, load_settings

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
ENVIRON = {"CONWP_API_KEY": "key-of-the-shop"}


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> tuple[Settings | None, list[str]]:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    settings, problems = load_settings(file, ENVIRON if environ is None else environ)
    for problem in problems:
        assert problem.file == str(file)
    assert (settings is None) == any(problem.severity is Severity.ERROR for problem in problems)
    return settings, [str(problem).removeprefix(f"{file}:") for problem in problems]


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    settings, problems = load(tmp_path, text, environ)
    assert settings is not None, problems
    assert problems == []
    return settings


@pytest.mark.parametrize("text", ["{}", "", "# nothing yet\n"])
def test_an_empty_config_is_all_defaults(tmp_path: Path, text: str) -> None:
    settings = loaded(tmp_path, text)
    assert settings.root == tmp_path
    assert settings.flows == tmp_path / "flows"
    assert settings.data == tmp_path / "data"
    assert str(settings.timezone) == "Europe/Istanbul"
    assert (settings.locale, settings.retention) == ("tr_TR", timedelta(days=30))
    assert (settings.web.host, settings.web.port) == ("127.0.0.1", 8700)
    account = settings.accounts["default"]
    assert account.api_key == Secret("key-of-the-shop")
    assert (account.key_source, str(account.limit), account.bulk) == (
        "${CONWP_API_KEY}",
        "1000/hour",
        Bulk.UNDER_PRESSURE,
    )
    assert (account.bulk_max, account.concurrency, account.timeout, account.pace) == (
        20,
        4,
        timedelta(seconds=60),
        None,
    )


def test_the_config_of_the_design_loads(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
flows: flows
data: /var/lib/conwp-bot
timezone: Europe/Istanbul
locale: tr_TR
contacts: contacts.yaml
accounts:
  default:
    base_url: https://conwp.com/yonetim/api/index.php
    api_key: ${CONWP_API_KEY}
    limit: 1000/hour
    bulk: off
    bulk_max: 20
    concurrency: 4
    timeout: 60s
    pace: {every: 3s, jitter: 2s}
web: {listen: 127.0.0.1:8700}
log: {level: info, format: auto}
retention: 30d
""",
    )
    assert settings.data == Path("/var/lib/conwp-bot")
    assert settings.accounts["default"].bulk is Bulk.OFF
    assert settings.accounts["default"].pace == Pace(timedelta(seconds=3), timedelta(seconds=2))


def keys_of(form: type[Form], prefix: str = "") -> set[str]:
    nested = {
        "accounts": (AccountForm, "accounts.default."),
        "web": (WebForm, "web."),
        "log": (LogForm, "log."),
        "pace": (PaceForm, f"{prefix}pace."),
    }
    found = set()
    for name, field in form.model_fields.items():
        key = field.alias or name
        found.add(f"{prefix}{key}")
        if key in nested:
            found |= keys_of(*nested[key])
    return found


def written_in(value: object, prefix: str = "") -> set[str]:
    if not isinstance(value, dict):
        return set()
    return {found for key, each in value.items() for found in {f"{prefix}{key}", *written_in(each, f"{prefix}{key}.")}}


def test_the_example_config_means_the_same_as_an_empty_one(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert loaded(tmp_path, text) == loaded(tmp_path, "{}")


def test_the_example_config_shows_every_setting_with_a_comment(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    shown_in_comments = [
        line for line in text.splitlines() if line.strip().startswith("# ") and "default: none" in line
    ]
    for line in shown_in_comments:
        text = text.replace(line, line.replace("# ", "", 1))
    document, problems = read_document(text, "config.example.yaml")
    assert document is not None
    assert problems == []
    assert written_in(document.value) - {"accounts.default"} == keys_of(ConfigForm)
    for line in text.splitlines():
        key, colon, rest = line.strip().partition(":")
        if colon and rest.strip() and not key.startswith("#"):
            assert "#" in rest or key == "base_url", f"no comment beside {line}"
    jsonschema.validate(document.value, config_schema())


def test_what_the_example_shows_as_none_is_none_by_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, "{}").accounts["default"].pace is None


def test_every_setting_tells_its_meaning_to_editors() -> None:
    schema = config_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    forms = [schema, *schema["definitions"].values()]
    for form in forms:
        for name, field in form["properties"].items():
            assert field.get("description"), name
            assert field.get("examples"), name
    validator = jsonschema.Draft7Validator(schema)
    for wrong in (
        {"timezome": "x"},
        {"web": {"listen": 5}},
        {"accounts": {"a": {"bulk_max": 0}}},
        {"retention": 30},
        {"log": {"level": "loud"}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_a_missing_config_says_how_to_make_one(tmp_path: Path) -> None:
    settings, problems = load_settings(tmp_path / "config.yaml", {})
    assert settings is None
    assert "there is no such config file" in problems[0].message
    assert "conwp-bot init" in (problems[0].hint or "")


def test_a_config_that_is_a_folder_is_a_problem(tmp_path: Path) -> None:
    settings, problems = load_settings(tmp_path, {})
    assert settings is None
    assert "cannot be read" in problems[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("timezome: UTC", '1:1: timezome: unknown key "timezome"; did you mean "timezone"?'),
        ("timezone: Europe/Istambul", '1:11: timezone: unknown time zone "Europe/Istambul"; did you mean "Europe/Istanbul"?'),
        ("locale: tr_TT", '1:9: locale: unknown locale "tr_TT"; did you mean "tr_TR"?'),
        ("retention: 5m", "1:12: retention: must be 1h or longer"),
        ("web: {listen: 0.0.0.0:8700}", "1:15: web.listen: 0.0.0.0 can be reached from outside, and there is no password yet; "
         "listen on 127.0.0.1 and put a reverse proxy with TLS in front"),
        ("web: {listen: ':8700'}", "1:15: web.listen: every address can be reached from outside, and there is no password yet; "
         "listen on 127.0.0.1 and put a reverse proxy with TLS in front"),
        ("web: {listen: 8700}", "1:15: web.listen: expected HOST:PORT, not the number 8700; e.g. 127.0.0.1:8700 or [::1]:8700"),
        ("web:\n  listen: ::1:8700", '2:11: web.listen: expected HOST:PORT, not "::1:8700"; e.g. 127.0.0.1:8700 or [::1]:8700'),
        ("web: {listen: 127.0.0.1:99999}",
         '1:15: web.listen: expected HOST:PORT, not "127.0.0.1:99999"; e.g. 127.0.0.1:8700 or [::1]:8700'),
        ("log: {level: verbose}", '1:14: log.level: unknown word "verbose"; one of: debug, info, warning, error'),
        ("accounts: {}", "1:11: accounts: at least one account is needed; remove the key to have the account `default`"),
        ("accounts: {shop: {}}", '1:18: accounts.shop.api_key: the key "api_key" is missing; e.g. ${SHOP_API_KEY}'),
        ("accounts: {'a b': {api_key: 'file:k'}}", None),
        ("accounts: {default: {api_key: 'x${CONWP_API_KEY}'}}",
         "1:31: accounts.default.api_key: only a whole value can be a variable: write nothing but ${NAME} (letters, digits and _)"),
        ("accounts: {default: {base_url: conwp.com}}",
         '1:32: accounts.default.base_url: expected an address, not "conwp.com"; e.g. https://conwp.com/yonetim/api/index.php'),
        ("accounts: {default: {base_url: 'https://conwp.com/?api_key=x'}}",
         "1:32: accounts.default.base_url: an address without a query, a fragment or a password is expected; the key belongs into api_key"),
        ("accounts: {default: {concurrency: 0}}", "1:35: accounts.default.concurrency: must be 1 or more"),
        ("accounts: {default: {pace: {jitter: 1s}}}", '1:28: accounts.default.pace.every: the key "every" is missing'),
    ],
)  # fmt: skip
def test_each_wrong_setting_is_named_at_its_place(tmp_path: Path, text: str, expected: str | None) -> None:
    settings, problems = load(tmp_path, text)
    assert settings is None
    if expected is not None:
        assert problems == [expected]


def test_a_listen_address_may_be_ipv6(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "web: {listen: '[::1]:0'}")
    assert (settings.web.host, settings.web.port) == ("::1", 0)


def test_a_key_that_is_not_there_yet_is_a_warning(tmp_path: Path) -> None:
    settings, problems = load(tmp_path, "accounts:\n  default:\n    api_key: ${CONWP_API_KEY}\n", {})
    assert settings is not None
    assert settings.accounts["default"].api_key is None
    assert problems[0].startswith("3:14: accounts.default.api_key: the environment variable CONWP_API_KEY is not set")


def test_a_key_in_clear_works_with_a_warning_that_does_not_show_it(tmp_path: Path) -> None:
    settings, problems = load(tmp_path, "accounts: {default: {api_key: topsecret}}")
    assert settings is not None
    assert settings.accounts["default"].api_key == Secret("topsecret")
    assert "in clear" in problems[0]
    assert "topsecret" not in problems[0] + repr(settings)


def test_one_key_under_two_names_is_refused(tmp_path: Path) -> None:
    settings, problems = load(
        tmp_path, "accounts:\n  a: {api_key: '${K}'}\n  b: {api_key: '${L}'}\n", {"K": "same", "L": "same"}
    )
    assert settings is None
    assert problems == [
        "3:16: accounts.b.api_key: this is the key of the account a too: its limit would be counted twice; one account for each key"
    ]


def test_a_key_over_plain_http_to_elsewhere_is_a_warning(tmp_path: Path) -> None:
    settings, problems = load(tmp_path, "accounts: {default: {base_url: 'http://example.com/api'}}")
    assert settings is not None
    assert "unencrypted" in problems[0]
    loaded(tmp_path, "accounts: {default: {base_url: 'http://127.0.0.1:8701/yonetim/api/index.php'}}")


def test_paths_are_relative_to_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "etc"
    inner.mkdir()
    (inner / "config.yaml").write_text("flows: ../flows\n")
    monkeypatch.chdir(tmp_path)
    settings, _ = load_settings(Path("etc/config.yaml"), ENVIRON)
    assert settings is not None
    assert settings.root == inner
    assert settings.flows == inner / "../flows"
    assert settings.data.is_absolute()
