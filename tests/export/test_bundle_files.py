"""What leaves a bundle: the files of its manifest in the bytes that it says, and nothing else."""

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.core.hashing import digest_file, digest_folder
from stillhouse.export import bundle_files as bundle_files_module
from stillhouse.export.bundle_files import bundle_files, copy_bundle, read_whole
from stillhouse.store.artifacts import FileEntry


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "merged").mkdir(parents=True)
    (folder / "README.md").write_text("# small")
    (folder / "merged" / "model.safetensors").write_bytes(bytes(range(256)) * 8192)
    return folder


def listed(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [entry(folder, path.relative_to(folder).as_posix()) for path in files]


def entry(folder, name, **changes):
    path = folder / name
    told = {"path": name, "bytes": path.stat().st_size, "sha256": digest_file(path)}
    return FileEntry(**told | changes)


def test_a_copy_is_the_bundle_and_a_second_one_does_nothing(bundle, tmp_path):
    files = bundle_files(bundle, listed(bundle))
    target = tmp_path / "out" / "copy"
    assert copy_bundle(files, target)
    assert digest_folder(target) == digest_folder(bundle)
    assert not copy_bundle(files, target)
    (target / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="is there and is not this bundle"):
        copy_bundle(files, target)
    assert [path.name for path in target.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize(
    "name",
    ["../a", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a/", "c:\\x", "..\\a", "a\nb", "a\0b",
     "\u202egpj.exe"],
)  # fmt: skip
def test_a_name_that_leads_out_is_refused_before_it_is_opened(bundle, tmp_path, name):
    (tmp_path / "a").write_text("outside")
    wrong = FileEntry(path=name, bytes=7, sha256=digest_file(tmp_path / "a"))
    with pytest.raises(ArtifactError, match="leads out of its bundle"):
        bundle_files(bundle, [*listed(bundle), wrong])


@given(st.text(st.sampled_from("./\\:a\0\n "), max_size=8))
@settings(max_examples=60)
def test_no_name_leads_out(name):
    from stillhouse.export.bundle_files import _inside

    try:
        inside = _inside(name)
    except ArtifactError:
        return
    resolved = os.path.normpath(f"/bundle/{inside}")
    assert resolved.startswith("/bundle/")
    assert str(inside) == name


@pytest.mark.parametrize("kind", ["file", "folder", "listed", "dangling", "pipe"])
def test_links_and_what_is_no_file_are_refused(bundle, tmp_path, kind):
    entries = listed(bundle)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    if kind == "file":
        (bundle / "merged" / "x").symlink_to(outside / "secret")
    elif kind == "folder":
        (bundle / "more").symlink_to(outside)
    elif kind == "listed":
        # Equal bytes: only that it is a link tells them apart.
        shutil.copyfile(bundle / "README.md", outside / "README.md")
        (bundle / "README.md").unlink()
        (bundle / "README.md").symlink_to(outside / "README.md")
    elif kind == "dangling":
        (bundle / "x").symlink_to("nowhere")
    else:
        os.mkfifo(bundle / "x")
    with pytest.raises(ArtifactError, match="is a link or no file"):
        bundle_files(bundle, entries)


def test_what_is_not_as_listed_is_refused(bundle):
    entries = listed(bundle)
    (bundle / "extra.py").write_text("print(1)")
    with pytest.raises(ArtifactError, match=r"extra\.py is there and not in the manifest"):
        bundle_files(bundle, entries)
    (bundle / "extra.py").unlink()
    weights = bundle / "merged" / "model.safetensors"
    flipped = bytearray(weights.read_bytes())
    flipped[1_500_000] ^= 1
    weights.write_bytes(flipped)
    with pytest.raises(ArtifactError, match="are not those of the manifest"):
        bundle_files(bundle, entries)
    weights.unlink()
    with pytest.raises(ArtifactError, match="No such file"):
        bundle_files(bundle, entries)


def ended_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_two_who_copy_at_once_do_not_tear_each_others_copy(bundle, tmp_path, monkeypatch):
    files = bundle_files(bundle, listed(bundle))
    target, read, is_first = tmp_path / "out" / "copy", bundle_files_module.read_whole, []

    def copied_by_another_meanwhile(file):
        if not is_first:
            is_first.append(file)
            child = os.fork()
            if child == 0:
                os._exit(0 if copy_bundle(files, target) else 1)
            assert os.waitpid(child, 0)[1] == 0
        return read(file)

    monkeypatch.setattr(bundle_files_module, "read_whole", copied_by_another_meanwhile)
    assert not copy_bundle(files, target)
    assert digest_folder(target) == digest_folder(bundle)
    assert [path.name for path in target.parent.iterdir()] == ["copy"]


def test_a_file_that_changes_on_the_way_gives_no_copy(bundle, tmp_path):
    files = bundle_files(bundle, listed(bundle))
    (bundle / "README.md").write_text("# other")
    target = tmp_path / "out" / "copy"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".copy.{ended_process()}.tmp").mkdir()  # of a call that was killed
    with pytest.raises(ArtifactError, match="are not those of the manifest"):
        copy_bundle(files, target)
    assert list(target.parent.iterdir()) == []
    # A link that took the file's place after the look is not followed.
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to(bundle / "merged" / "model.safetensors")
    with pytest.raises(ArtifactError, match="symbolic link"):
        list(read_whole(files[0]))
