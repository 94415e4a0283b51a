import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from conwp_bot.flows import load
from conwp_bot.flows.compile import Compiled, compile_source
from conwp_bot.flows.defaults import FlowDefaults
from conwp_bot.flows.flow import FlowSet
from conwp_bot.flows.load import FlowLoader, LoadResult

DEFAULTS = FlowDefaults(ZoneInfo("Europe/Istanbul"), "tr_TR", frozenset({"default"}))
GOOD = "steps:\n  - log: hello\n"
BROKEN = "steps:\n  - lgo: hello\n"


def hook(name: str) -> str:
    return f"triggers:\n  - webhook: {name}\n    scheme: none\n{GOOD}"


class Folder:
    """A folder of flows on disk, with a loader that counts what it builds."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.path = root / "flows"
        self.path.mkdir()
        self.built: list[str] = []
        self.read: list[str] = []
        self.loader = FlowLoader(self.path, DEFAULTS, root=root)
        self.result = LoadResult(FlowSet())

        def counted(flow_id: str, source: bytes, file: str, defaults: FlowDefaults) -> Compiled:
            self.built.append(flow_id)
            return compile_source(flow_id, source, file, defaults)

        real_read = load._read

        def read(path: str) -> tuple[bytes, tuple[int, ...]]:
            self.read.append(path)
            return real_read(path)

        monkeypatch.setattr(load, "compile_source", counted)
        monkeypatch.setattr(load, "_read", read)

    def write(self, name: str, text: str) -> Path:
        """Write a file the way editors do: beside, then renamed over it."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.rename(file)
        return file

    def load(self, *, reread: bool = False) -> LoadResult:
        self.built.clear()
        self.read.clear()
        self.result = self.loader.load(self.result.flow_set, reread=reread)
        return self.result

    @property
    def ids(self) -> list[str]:
        return sorted(self.result.flow_set.flows)

    @property
    def said(self) -> list[str]:
        return [str(problem) for problem in self.result.problems]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def test_a_flow_s_id_is_its_path_without_the_ending(folder: Folder) -> None:
    folder.write("a.yaml", GOOD)
    folder.write("billing/reminder.yml", GOOD)
    folder.write("Ödeme/hatırlatma.YAML", GOOD)
    result = folder.load()
    assert folder.ids == ["a", "billing/reminder", "Ödeme/hatırlatma"]
    assert result.problems == ()
    assert result.changed == frozenset(folder.ids)
    assert result.flow_set.flows["billing/reminder"].file == "flows/billing/reminder.yml"


def test_what_is_no_flow_is_left_alone(folder: Folder) -> None:
    for name in (
        "_shared.yaml",
        ".hidden.yaml",
        "~x.yaml",
        "#a.yaml#",
        "a.yaml~",
        "a.yaml.swp",
        "notes.txt",
        "_macros.j2",
        ".git/x.yaml",
        "_old/x.yaml",
        "4913",
    ):
        folder.write(name, BROKEN)
    folder.load()
    assert (folder.ids, folder.said) == ([], [])


def test_a_broken_file_is_reported_and_the_others_load(folder: Folder) -> None:
    folder.write("good.yaml", GOOD)
    folder.write("bad.yaml", BROKEN)
    result = folder.load()
    assert folder.ids == ["good"]
    assert folder.said == ['flows/bad.yaml:2:5: steps[0]: "lgo" is no step; did you mean "log"?']
    assert (result.broken, result.has_errors) == ({"bad"}, True)


def test_a_broken_file_keeps_its_last_good_version(folder: Folder) -> None:
    folder.write("a.yaml", GOOD)
    folder.load()
    good = folder.result.flow_set.flows["a"]
    folder.write("a.yaml", BROKEN)
    result = folder.load()
    assert result.flow_set.flows["a"] is good
    assert (result.changed, result.removed, result.broken) == (set(), set(), {"a"})
    assert folder.load().broken == {"a"}
    folder.write("a.yaml", GOOD + "# mended\n")
    result = folder.load()
    assert result.flow_set.flows["a"] is not good
    assert (result.changed, result.broken, result.problems) == ({"a"}, set(), ())


def test_a_last_good_version_from_before_the_start_is_kept_too(folder: Folder) -> None:
    folder.write("a.yaml", GOOD)
    before = folder.load().flow_set
    folder.write("a.yaml", "steps: [")
    result = FlowLoader(folder.path, DEFAULTS).load(before)
    assert result.flow_set.flows["a"] is before.flows["a"]


def test_a_deleted_file_takes_its_flow_away(folder: Folder) -> None:
    file = folder.write("a.yaml", GOOD)
    folder.write("b.yaml", GOOD)
    folder.load()
    file.unlink()
    result = folder.load()
    assert (folder.ids, result.removed, result.changed) == (["b"], {"a"}, set())


def test_only_what_changed_is_read_again(folder: Folder) -> None:
    for number in range(20):
        folder.write(f"f{number}.yaml", GOOD)
    folder.load()
    assert len(folder.built) == 20
    before = folder.result.flow_set.flows
    folder.load()
    assert folder.read == []
    folder.write("f7.yaml", GOOD + "# new\n")
    result = folder.load()
    assert (folder.built, len(folder.read), result.changed) == (["f7"], 1, {"f7"})
    assert all(result.flow_set.flows[each] is before[each] for each in before if each != "f7")


def test_a_file_that_was_only_touched_is_not_built_again(folder: Folder) -> None:
    file = folder.write("a.yaml", GOOD)
    folder.load()
    os.utime(file, ns=(1, 1))
    result = folder.load()
    assert (len(folder.read), folder.built, result.changed) == (1, [], set())


def test_an_edit_that_puts_time_and_size_back_is_seen(folder: Folder) -> None:
    file = folder.write("a.yaml", GOOD)
    status = file.stat()
    folder.load()
    folder.write("a.yaml", GOOD.replace("hello", "salut"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert folder.load().changed == {"a"}


def test_every_file_can_be_read_again(folder: Folder) -> None:
    folder.write("a.yaml", GOOD)
    folder.load()
    folder.load(reread=True)
    assert (len(folder.read), folder.built) == (1, [])


def test_linked_files_and_folders_are_followed(folder: Folder) -> None:
    elsewhere = folder.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.yaml").write_text(GOOD)
    (elsewhere / "_two.yaml").write_text(GOOD)
    (folder.path / "linked").symlink_to(elsewhere)
    (folder.path / "two.yaml").symlink_to(elsewhere / "_two.yaml")
    folder.load()
    assert folder.ids == ["linked/one", "two"]
    (elsewhere / "_two.yaml").write_text(GOOD + "# changed behind the link\n")
    assert folder.load().changed == {"two"}


def test_folders_swapped_behind_a_link_are_seen(folder: Folder) -> None:
    """The way Kubernetes mounts a ConfigMap: every file leads through `..data`, which is replaced."""
    for version, text in (("..v1", GOOD), ("..v2", GOOD + "# second\n")):
        (folder.path / version).mkdir()
        (folder.path / version / "a.yaml").write_text(text)
    (folder.path / "..data").symlink_to("..v1")
    (folder.path / "a.yaml").symlink_to("..data/a.yaml")
    folder.load()
    assert folder.ids == ["a"]
    (folder.path / "..new").symlink_to("..v2")
    (folder.path / "..new").rename(folder.path / "..data")
    assert folder.load().changed == {"a"}


def test_a_folder_linked_into_itself_ends(folder: Folder) -> None:
    folder.write("a/one.yaml", GOOD)
    (folder.path / "a" / "again").symlink_to(folder.path)
    (folder.path / "a" / "self").symlink_to(folder.path / "a")
    (folder.path / "loop.yaml").symlink_to("loop.yaml")
    folder.load()
    assert folder.ids == ["a/one"]
    assert [problem.file for problem in folder.result.problems] == ["flows/loop.yaml"]


def test_a_link_to_nowhere_keeps_what_was_there(folder: Folder) -> None:
    target = folder.root / "target"
    target.write_text(GOOD)
    (folder.path / "a.yaml").symlink_to(target)
    folder.load()
    target.unlink()
    result = folder.load()
    assert folder.ids == ["a"]
    assert "cannot be read" in folder.said[0]
    assert result.removed == set()


def test_a_folder_that_is_gone_keeps_its_flows(folder: Folder) -> None:
    folder.write("a.yaml", GOOD)
    folder.load()
    folder.path.rename(folder.root / "moved")
    result = folder.load()
    assert (folder.ids, result.removed) == (["a"], set())
    assert folder.said == ["flows:1:1: there is no such folder"]
    (folder.root / "moved").rename(folder.path)
    assert folder.load().problems == ()


def test_a_pipe_named_like_a_flow_is_not_opened(folder: Folder) -> None:
    os.mkfifo(folder.path / "pipe.yaml")
    folder.load()
    assert folder.said == ["flows/pipe.yaml:1:1: this is no regular file"]


def test_a_file_that_is_too_large_is_not_read_whole(folder: Folder) -> None:
    folder.write("a.yaml", "#" * (5 * 1024 * 1024))
    folder.load()
    assert "larger than 1 MiB" in folder.said[0]


def test_one_id_with_two_files_is_a_problem(folder: Folder) -> None:
    folder.write("a.yaml", GOOD)
    folder.write("a.yml", GOOD)
    folder.load()
    assert folder.said == [
        'flows/a.yml:1:1: the flow "a" has another file already: flows/a.yaml; remove or rename one of them'
    ]
    assert folder.ids == ["a"]


@pytest.mark.parametrize(
    "name", ["my flow.yaml", "a/b c.yaml", "-x.yaml", "a:b.yaml", "a\nb.yaml", "é\u202e.yaml", "\udcff.yaml"]
)
def test_a_name_that_is_no_id_is_a_problem_on_one_line(folder: Folder, name: str) -> None:
    folder.write(name, GOOD)
    folder.load()
    assert folder.ids == []
    (said,) = folder.said
    assert "is no name for a flow" in said
    assert said.isprintable()


def test_two_flows_cannot_have_one_webhook_and_who_had_it_keeps_it(folder: Folder) -> None:
    folder.write("z.yaml", hook("orders"))
    folder.load()
    folder.write("a.yaml", hook("orders"))
    result = folder.load()
    assert folder.ids == ["z"]
    assert folder.said == [
        'flows/a.yaml:2:14: triggers[0].webhook: the webhook "orders" belongs to the flow z already; choose another name'
    ]
    assert result.broken == {"a"}
    folder.write("z.yaml", hook("others"))
    result = folder.load()
    assert (folder.ids, result.problems) == (["a", "z"], ())


def test_between_newcomers_the_first_id_has_the_name(folder: Folder) -> None:
    folder.write("b.yaml", hook("orders"))
    folder.write("a.yaml", hook("orders"))
    folder.load()
    assert (folder.ids, folder.result.broken) == (["a"], {"b"})


def test_who_wants_what_is_another_s_keeps_its_last_good_version(folder: Folder) -> None:
    folder.write("a.yaml", hook("one"))
    folder.write("b.yaml", hook("two"))
    folder.load()
    before = folder.result.flow_set.flows["b"]
    folder.write("b.yaml", hook("one"))
    result = folder.load()
    assert result.flow_set.flows["b"] is before
    assert (result.broken, result.changed) == ({"b"}, set())


def test_a_broken_flow_s_last_good_version_keeps_its_webhook(folder: Folder) -> None:
    folder.write("b.yaml", hook("one"))
    folder.load()
    folder.write("b.yaml", BROKEN)
    folder.write("a.yaml", hook("one"))
    folder.load()
    assert folder.ids == ["b"]
    assert folder.result.broken == {"a", "b"}


def test_two_flows_may_swap_their_names(folder: Folder) -> None:
    folder.write("a.yaml", hook("one"))
    folder.write("b.yaml", hook("two"))
    folder.load()
    folder.write("a.yaml", hook("two"))
    folder.write("b.yaml", hook("one"))
    result = folder.load()
    assert (result.problems, result.changed) == ((), {"a", "b"})


def test_two_flows_cannot_have_one_file_pattern(folder: Folder) -> None:
    text = f"triggers:\n  - file: inbox/*.csv\n{GOOD}"
    folder.write("a.yaml", text)
    folder.write("b.yaml", text.replace("inbox/", "./inbox/"))
    folder.load()
    assert folder.said == [
        'flows/b.yaml:2:11: triggers[0].file: the file "inbox/*.csv" belongs to the flow a already; choose another folder or pattern'
    ]


def test_no_edit_keeps_another_flow_from_loading(folder: Folder) -> None:
    folder.write("good.yaml", GOOD)
    file = folder.path / "bad.yaml"
    for content in (
        b"",
        b"\xff\xfe",
        b"\0",
        b"a: &a [*a]",
        b"[" * 5000,
        b"- " * 5000,
        b"steps: {}",
        "ş".encode("cp1254"),
        b"%",
        b"\xef\xbb\xbf",
    ):
        file.write_bytes(content)
        result = folder.load()
        assert folder.ids == ["good"], content
        assert result.broken == {"bad"}
